#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""corral plan, apply, explain, drift and capacity against corrald, with a real guest in a planned
container: what they print is compared with the kernel."""

import json
import xml.etree.ElementTree as xml
from contextlib import contextmanager

from harness import Session, Suite, until
from test_corral_cli import Cli
from test_plan import World as PlanWorld
from test_plan import wait_placed


class World(PlanWorld):
    """A dedicated container whose guest has the one pCPU that there is for it."""

    def __init__(self, session, build):
        super().__init__(session)
        self.corral = Cli(build, self.corrald)

    def status(self, *words):
        answer = self.corral.try_(*words)
        assert not answer.stderr, f'{words}: {answer}'
        return answer.returncode

    def row(self, name):
        rows = self.corral.json('capacity')['rows']
        return next(row for row in rows if row['name'] == name)


@contextmanager
def setup(options):
    with Session.of(options) as session:
        yield World(session, options.build)


suite = Suite(setup)


@suite.test
def capacity_of_a_dedicated_container(world):
    box = world.box('cap', "mode='dedicated'").define()
    before = world.corral.json('capacity')['rows'][0]
    world.guest('c', box).define().start()
    guest = world.session.guests[0]
    wait_placed(guest, world.cpu, world.house)
    box.wait_has(vms=1)
    document = world.corral.json('capacity')
    host, row = document['rows'][0], world.row(box.path)
    assert before['largest_dedicated'] >= 1, before
    assert host['total'] == sum(host[key] for key in ('reserved', 'dedicated', 'shared', 'free'))
    assert host['dedicated'] == before['dedicated'] + 1, (before, host)
    assert (row['mode'], row['dedicated'], row['largest_dedicated']) == ('dedicated', 1, 0), row
    uses = {pcpu['pcpu']: pcpu for pcpu in document['pcpus']}
    assert uses[world.house]['use'] == 'housekeeping', uses
    assert (uses[world.cpu]['use'], uses[world.cpu]['vcpu']) == ('dedicated', 0), uses
    assert uses[world.cpu]['container'] == box.path, uses


@suite.test(needs='capacity_of_a_dedicated_container')
def other_formats_and_the_picture(world):
    text = world.corral('capacity', '--format', 'openmetrics')
    assert text.endswith('\n# EOF\n'), text
    text = world.corral('capacity', '--format', 'placement')
    providers = json.loads(text)['resource_providers']
    assert sum(each['usages'].get('PCPU', 0) for each in providers) == 1, text
    path = f'{world.session.folder}/capacity.svg'
    assert world.corral('capacity', '--svg', path) == ''
    picture = xml.parse(path).getroot()
    assert any(world.session.guests[0].name in (text.text or '') for text in picture.iter()), path
    until(lambda: world.row('host')['used'] is not None, 'a window')


@suite.test(needs='capacity_of_a_dedicated_container')
def plan_explain_and_what_does_not_fit(world):
    box, guest = world.boxes[0], world.session.guests[0]
    assert world.status('plan') == 0
    explained = world.corral.json('explain', box.name)
    assert [vm['name'] for vm in explained['vms']] == [guest.name], explained
    assert any(reason['rule'] == 'housekeeping' for reason in explained['reasons']), explained
    assert guest.name in world.corral('explain', guest.name)
    # A second one that wants the same pCPU: shown, and not done.
    wish = "<corral:reserve xmlns:corral='urn:corral:1' vcpus='1'/>"
    second = world.box('more', "mode='dedicated'", wish)
    answer = world.corral.try_('plan', second.file())
    world.boxes.remove(second)
    assert answer.returncode == 3 and f' ! {second.path}' in answer.stdout, answer
    assert world.virsh.try_('domuuid', second.name).status != 0


@suite.test(needs='capacity_of_a_dedicated_container')
def drift_is_shown_and_applied_away(world):
    box, guest = world.boxes[0], world.session.guests[0]
    old = world.corral.json('plan')['generation']
    assert world.status('drift', box.name) == 0
    guest.virsh('vcpupin', guest.name, 0, world.house, '--live')
    until(lambda: world.corral.try_('drift', box.name).returncode == 3, 'the pin to be found')
    item = world.corral.try_('drift', box.name, '--format', 'csv').stdout
    assert f'{guest.name},0,{world.cpu},{world.house}' in item, item
    plan = world.corral.json('plan')
    assert plan['changed'] and plan['generation'] != old, plan
    world.corral.fails('apply', '--generation', old)
    assert 'Applied' in world.corral('apply', '--generation', plan['generation'])
    wait_placed(guest, world.cpu, world.house)
    until(lambda: world.corral.try_('drift', box.name).returncode == 0, 'the drift to be over')
    world.clear()


if __name__ == '__main__':
    suite.main()
