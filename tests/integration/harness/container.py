# SPDX-License-Identifier: LGPL-2.1-or-later
"""A container as its users see it, through stock virsh; and beside it what the kernel has."""

from xml.sax.saxutils import escape, quoteattr

from . import proc
from .wait import until


class Container:
    """@path: parts below the session's /machine/TAG. All names bear the session's tag. @placement:
    attributes of a <corral:placement>, for one that the planner places."""

    def __init__(self, corrald, name, path=None, cpus=None, cputune='', members=(), extra='',
                 placement=None):
        self.corrald, self.session, self.virsh = corrald, corrald.session, corrald.virsh
        self.name = self.session.name(name)
        self.path = self.session.path(*(path or (name,)))
        self.cpus, self.cputune, self.members, self.extra = cpus, cputune, members, extra
        self.placement = placement

    def xml(self):
        vcpu = f"<vcpu placement='{'static' if self.placement is None else 'auto'}'"
        vcpu += f" cpuset='{proc.cpulist(self.cpus)}'/>" if self.cpus else '/>'
        if self.placement is not None:
            vcpu += f"<corral:placement xmlns:corral='urn:corral:1' {self.placement}/>"
        members = ''.join(f"<member type='vm' name={quoteattr(m)}/>" for m in self.members)
        devices = f'<devices>{members}</devices>'
        return (f"<domain type='corral'><name>{escape(self.name)}</name>"
                f'<resource><partition>{self.path}</partition></resource>{vcpu}'
                f'<cputune>{self.cputune}</cputune>{self.extra}{devices}</domain>')

    def file(self):
        path = f'{self.session.folder}/{self.name}.xml'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(self.xml())
        return path

    def define(self):
        self.virsh('define', self.file())
        return self

    def start(self):
        """Defines it, too, if it is not."""
        if self.virsh.try_('domuuid', self.name).status:
            self.define()
        self.virsh('start', self.name)
        return self

    def remove(self):
        if self.is_active():
            self.virsh('destroy', self.name)
        self.virsh.try_('undefine', self.name)

    def is_active(self):
        return self.virsh('domstate', self.name).out.strip() == 'running'

    # --- members

    def member(self, guest, vcpu=None):
        """A file with the <member/> of a guest (or of any name), or of one vCPU of it."""
        name = getattr(guest, 'name', guest)
        kind = "type='vm'" if vcpu is None else f"type='vcpu' vcpu='{vcpu}'"
        path = f'{self.session.folder}/member.xml'
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'<member {kind} name={quoteattr(name)}/>')
        return path

    def attach(self, guest, *flags, vcpu=None):
        member = self.member(guest, vcpu)
        return self.virsh('attach-device', self.name, member, *flags or ['--live'])

    def attach_new(self, guest):
        """A guest that has just started: corrald may not have heard of it yet."""
        words = ('attach-device', self.name, self.member(guest), '--live')
        until(lambda: self.virsh.try_(*words).status == 0, f'corrald to attach {guest.name}', 10)

    def detach(self, guest, *flags, vcpu=None):
        member = self.member(guest, vcpu)
        return self.virsh('detach-device', self.name, member, *flags or ['--live'])

    # --- what Corral says

    def stats(self):
        """domstats, all groups: numbers as int, all else as text."""
        values = self.virsh('domstats', self.name).stats()
        return {k: int(v) if v.lstrip('-').isdigit() else v for k, v in values.items()}

    def has(self, vms=None, vcpus=None):
        stats = self.stats()
        return (vms is None or stats.get('corral.vms') == vms) and \
            (vcpus is None or stats.get('corral.vcpus') == vcpus)

    def wait_has(self, vms=None, vcpus=None, seconds=15):
        what = f'{self.name} to have {vms} VMs and {vcpus} vCPUs'
        until(lambda: self.has(vms, vcpus), what, seconds)

    # --- what the kernel has

    @property
    def folder(self):
        return '/' + self.session.cgroups.directory(self.path)

    def holds(self, thread):
        """Whether the thread is in it, or beneath it, in every hierarchy that counts."""
        controllers = [''] if self.session.cgroups.unified else ['cpu', 'cpuset']
        groups = thread.cgroups()
        return all((groups[c] + '/').startswith(self.folder + '/') for c in controllers)

    def strangers(self, guest):
        """The guest's threads that are not in it, or may run outside its pCPUs."""
        cpus = self.session.cgroups.cpus(self.path)
        found = []
        for thread in guest.threads():
            try:
                if not self.holds(thread) or not thread.affinity() <= cpus:
                    found.append((thread, thread.cgroups(), thread.affinity()))
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def check_holds_all(self, guest):
        found = self.strangers(guest)
        assert not found, f'not in {self.name}: {found}'
