/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "policy/corral-definition.h"
#include "policy/corral-xml.h"

#include <string.h>

#define BURST(text) "<corral:burst xmlns:corral='urn:corral:1'>" text "</corral:burst>"
#define IN_DOMAIN                                                                                  \
    "name, uuid, title, description, metadata, vcpu, numatune, cputune, corral:burst, "            \
    "corral:placement, corral:reserve, corral:limit, corral:share, resource, devices"
#define DOMAIN(inner) "<domain type='corral'>\n<name>a</name>\n" inner "</domain>"

static CorralDefinition *
parse (const char *xml)
{
    g_autoptr (GError) error = NULL;
    CorralDefinition *definition = NULL;
    gboolean ok = corral_definition_parse (xml, strlen (xml), &definition, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    g_assert_nonnull (definition);
    return definition;
}

static const char everything[] =
    "<domain type='corral' id='3'>\n"
    "  <name>prod</name>\n"
    "  <uuid>0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0</uuid>\n"
    "  <title>it&apos;s &lt;prod&gt; \xc3\xa9</title>\n"
    "  <description>two\nlines &amp; &quot;more&quot;</description>\n"
    "  <metadata>\n"
    "    <app:x xmlns:app=\"http://app\" a=\"1\"><app:y/> text </app:x>\n"
    "    <plain xmlns=\"http://other\"/>\n"
    "  </metadata>\n"
    "  <vcpu placement='static' cpuset='0-2,8'>4</vcpu>\n"
    "  <numatune>\n"
    "    <memory mode='strict' nodeset='0-1'/>\n"
    "  </numatune>\n"
    "  <cputune>\n"
    "    <shares>2048</shares>\n"
    "    <global_period>50000</global_period>\n"
    "    <global_quota>25000</global_quota>\n"
    "  </cputune>\n"
    "  <corral:burst xmlns:corral='urn:corral:1'>25000</corral:burst>\n"
    "  <resource>\n"
    "    <partition>/machine/prod/db-1_x</partition>\n"
    "  </resource>\n"
    "  <os>\n"
    "    <type>corral</type>\n"
    "  </os>\n"
    "  <devices>\n"
    "    <member type='vm' name='db*'/>\n"
    "    <member type='vcpu' name='web1' vcpu='7'/>\n"
    "    <member type='vm' name='a &amp; b'/>\n"
    "  </devices>\n"
    "</domain>\n";

static void
test_everything (void)
{
    static const guint8 uuid[] = { 0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78,
                                   0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0 };
    g_autoptr (CorralDefinition) definition = parse (everything);
    g_autoptr (CorralDefinition) copy = corral_definition_copy (definition);
    CorralDefinitionLive live = { .id = 3, .vcpus = 4 };
    g_autofree char *text = corral_definition_format (copy, &live);
    g_autofree char *cpus = corral_cpuset_format (definition->cpus);
    g_autofree char *mems = corral_cpuset_format (definition->mems);
    const CorralMemberDef *member;

    g_assert_cmpstr (definition->name, ==, "prod");
    g_assert_cmpmem (definition->uuid, sizeof definition->uuid, uuid, sizeof uuid);
    g_assert_cmpstr (definition->title, ==, "it's <prod> \xc3\xa9");
    g_assert_cmpstr (definition->description, ==, "two\nlines & \"more\"");
    g_assert_cmpstr (definition->partition, ==, "/machine/prod/db-1_x");
    g_assert_cmpstr (cpus, ==, "0-2,8");
    g_assert_cmpstr (mems, ==, "0-1");
    g_assert_cmpint (definition->tune.shares, ==, 2048);
    g_assert_cmpint (definition->tune.period_usec, ==, 50000);
    g_assert_cmpint (definition->tune.quota_usec, ==, 25000);
    g_assert_cmpint (definition->tune.burst_usec, ==, 25000);
    g_assert_cmpuint (definition->members->len, ==, 3);
    member = g_ptr_array_index (definition->members, 0);
    g_assert_cmpint (member->type, ==, CORRAL_MEMBER_VM);
    g_assert_cmpstr (member->name, ==, "db*");
    g_assert_cmpint (member->vcpu, ==, -1);
    member = g_ptr_array_index (definition->members, 1);
    g_assert_cmpint (member->type, ==, CORRAL_MEMBER_VCPU);
    g_assert_cmpstr (member->name, ==, "web1");
    g_assert_cmpint (member->vcpu, ==, 7);
    member = g_ptr_array_index (definition->members, 2);
    g_assert_cmpstr (member->name, ==, "a & b");
    g_assert_cmpuint (definition->metadata->len, ==, 2);

    /* The document above is in the canonical form, so what comes out is what went in. */
    g_assert_cmpstr (text, ==, everything);
}

static void
test_smallest (void)
{
    g_autoptr (CorralDefinition) definition =
        parse ("<domain type='corral'><name>a</name></domain>");
    static const guint8 none[CORRAL_UUID_BYTES];
    g_autofree char *text = corral_definition_format (definition, NULL);

    g_assert_cmpmem (definition->uuid, sizeof definition->uuid, none, sizeof none);
    g_assert_cmpstr (definition->partition, ==, "/machine/a");
    g_assert_null (definition->title);
    g_assert_null (definition->description);
    g_assert_null (definition->cpus);
    g_assert_null (definition->mems);
    g_assert_cmpint (definition->tune.shares, ==, -1);
    g_assert_cmpint (definition->tune.period_usec, ==, -1);
    g_assert_cmpint (definition->tune.quota_usec, ==, -1);
    g_assert_cmpint (definition->tune.burst_usec, ==, -1);
    g_assert_cmpuint (definition->members->len, ==, 0);
    g_assert_cmpuint (definition->metadata->len, ==, 0);
    g_assert_cmpstr (text, ==,
                     "<domain type='corral'>\n"
                     "  <name>a</name>\n"
                     "  <vcpu placement='static'>1</vcpu>\n"
                     "  <resource>\n"
                     "    <partition>/machine/a</partition>\n"
                     "  </resource>\n"
                     "  <os>\n"
                     "    <type>corral</type>\n"
                     "  </os>\n"
                     "  <devices/>\n"
                     "</domain>\n");
}

/* What any order, libvirt's additions and its other spellings come to: the canonical document holds
 * @has, and does not hold @lacks. */
static const struct {
    const char *xml;
    const char *has;
    const char *lacks;
} accepted[] = {
    { "<?xml version='1.0' encoding='UTF-8'?>\n<!-- c --><domain type='corral'><devices><emulator>"
      "/usr/bin/x</emulator><member name='v' type='vm'/></devices><name>a</name></domain>",
      "<member type='vm' name='v'/>", "emulator" },
    { DOMAIN ("<memory unit='KiB'>1</memory><currentMemory>1</currentMemory><on_poweroff>destroy"
              "</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>"
              "<clock offset='utc'><timer name='rtc'/></clock><features><acpi/></features>"
              "<cpu mode='host-model' check='partial'/><seclabel type='none'/>"
              "<seclabel type='dynamic' model='dac' relabel='yes'/><pm/>"
              "<os><type arch='x86_64'>hvm</type><boot dev='hd'/></os>"),
      "<type>corral</type>", "acpi" },
    { DOMAIN ("<uuid> 0f1e2d3c4b5a69788796a5b4c3d2e1f0 </uuid>"),
      "<uuid>0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0</uuid>", NULL },
    { DOMAIN ("<vcpu>17</vcpu>"), "<vcpu placement='static'>1</vcpu>", "17" },
    { DOMAIN ("<vcpu current='1' cpuset='0-7,^3,^5-6'> 2 </vcpu>"), "cpuset='0-2,4,7'", NULL },
    { DOMAIN ("<vcpu cpuset=' 8191 '/>"), "cpuset='8191'", NULL },
    { DOMAIN ("<numatune><memory nodeset='1'/></numatune>"), "mode='strict' nodeset='1'", NULL },
    { DOMAIN ("<numatune/><cputune/><resource/><metadata/><devices/><title/><description/>"),
      "<partition>/machine/a</partition>", "title" },
    { DOMAIN ("<cputune><period>100000</period><quota>-1</quota></cputune>"),
      "<global_period>100000</global_period>\n    <global_quota>-1</global_quota>", "<quota>" },
    { DOMAIN ("<cputune><quota>5000</quota><global_quota> 5000 </global_quota></cputune>"),
      "<global_quota>5000</global_quota>", NULL },
    { DOMAIN ("<cputune><global_quota>-77</global_quota></cputune>"),
      "<global_quota>-1</global_quota>", NULL },
    { DOMAIN ("<cputune><global_quota>18446744073709551</global_quota></cputune>"),
      "<global_quota>-1</global_quota>", NULL },
    { DOMAIN ("<cputune><global_quota>17592186044415</global_quota></cputune>"),
      "<global_quota>17592186044415</global_quota>", NULL },
    { DOMAIN ("<cputune><global_quota>0</global_quota><global_period>0</global_period></cputune>"),
      "<os>", "cputune" },
    { DOMAIN ("<cputune><shares>2</shares></cputune>"), "<shares>2</shares>", NULL },
    { DOMAIN ("<cputune><shares><![CDATA[262144]]><!-- c --></shares></cputune>"),
      "<shares>262144</shares>", NULL },
    { DOMAIN (BURST ("0")), ">0</corral:burst>", "cputune" },
    { "<domain type='corral' xmlns:c='urn:corral:1'><c:burst>1000</c:burst><cputune><quota>1000"
      "</quota></cputune><name>a</name></domain>",
      "<corral:burst xmlns:corral='urn:corral:1'>1000</corral:burst>", NULL },
    { DOMAIN ("<resource><partition>\n /machine/x \n</partition></resource>"),
      "<partition>/machine/x</partition>", NULL },
    { "<domain type='corral'><name>a b.c</name><resource><partition>/x</partition></resource>"
      "</domain>",
      "<name>a b.c</name>", NULL },
    { "<domain type='corral' xmlns:q='http://q'><name>a</name><metadata><q:e q:f='1'><!-- kept -->"
      "<i/></q:e></metadata></domain>",
      "<q:e xmlns:q=\"http://q\" q:f=\"1\"><!-- kept --><i/></q:e>", NULL },
    { DOMAIN ("<description>a&#13;b</description>"), "a&#13;b", NULL },
};

static void
test_accepted (void)
{
    for (gsize i = 0; i < G_N_ELEMENTS (accepted); i++) {
        g_autoptr (CorralDefinition) first = parse (accepted[i].xml);
        g_autofree char *text = corral_definition_format (first, NULL);
        g_autoptr (CorralDefinition) second = parse (text);
        g_autofree char *again = corral_definition_format (second, NULL);

        g_test_message ("%s", text);
        g_assert_nonnull (strstr (text, accepted[i].has));
        if (accepted[i].lacks != NULL)
            g_assert_null (strstr (text, accepted[i].lacks));
        g_assert_cmpstr (text, ==, again);
    }
}

/* Document, and all of its message after "cannot read the container definition: ". */
static const struct {
    const char *xml;
    const char *message;
} refused[] = {
    { "", "it is empty" },
    { "x", "line 1: Start tag expected, '<' not found" },
    { "<domain type='corral'>\n<name>a</name>\n",
      "line 3: Premature end of data in tag domain line 1" },
    { "<domain type='corral'>\n<name>a</nam>\n</domain>",
      "line 2: Opening and ending tag mismatch: name line 2 and nam" },
    { "<domain type='corral'>\n<name>\xff</name></domain>",
      "line 2: expected UTF-8, not the byte 0xFF" },
    { "<domain type='corral'>\n<name>a</name>\n<q:x/></domain>",
      "line 3: Namespace prefix q on x is not defined" },
    { "<domain type='corral'>\n<name a='1' a='2'>a</name></domain>",
      "line 2: Attribute a redefined" },
    { "<domains/>", "line 1: <domains>: expected <domain type='corral'>" },
    { "<domain xmlns='http://x' type='corral'><name>a</name></domain>",
      "line 1: <domain>: expected <domain type='corral'>" },
    { "<domain><name>a</name></domain>", "line 1: <domain>: expected type='corral', not \"\"" },
    { "<domain type='kvm'><name>a</name></domain>",
      "line 1: <domain>: expected type='corral', not \"kvm\"" },
    { "<domain type='corral' id='x'><name>a</name></domain>",
      "line 1: <domain>: expected a number in \"id\"" },
    { "<domain type='corral' color='red'><name>a</name></domain>",
      "line 1: <domain>: attribute \"color\" is unknown; expected type, id" },
    { "<domain type='corral'>\n</domain>", "line 1: <domain>: expected a <name>" },
    { DOMAIN ("\n<name>b</name>"), "line 4: <name>: expected only one, this is the second" },
    { DOMAIN ("<os/>\n<os/>"), "line 4: <os>: expected only one, this is the second" },
    { DOMAIN ("stray"), "line 1: <domain>: expected elements only, not text" },
    { DOMAIN ("<disk/>"), "line 3: <disk> is unknown in <domain>; expected one of: " IN_DOMAIN },
    { DOMAIN ("<iothreads>1</iothreads>"),
      "line 3: <iothreads> is unknown in <domain>; expected one of: " IN_DOMAIN },
    { DOMAIN ("<q:commandline xmlns:q='http://q'/>"),
      "line 3: <q:commandline> is unknown in <domain>; expected one of: " IN_DOMAIN },
    { DOMAIN ("<burst>1</burst>"),
      "line 3: <burst> is unknown in <domain>; expected one of: " IN_DOMAIN },

    { "<domain type='corral'>\n<name/></domain>", "line 2: <name>: expected a name, not nothing" },
    { "<domain type='corral'><name>..</name></domain>",
      "line 1: <name>: expected a name that does not begin with a dot" },
    { "<domain type='corral'><name>a/b</name></domain>",
      "line 1: <name>: expected a name without \"/\"" },
    { "<domain type='corral'><name>a\tb</name></domain>",
      "line 1: <name>: expected a name in valid UTF-8 without control characters" },
    { "<domain type='corral'><name>a&#x85;b</name></domain>",
      "line 1: <name>: expected a name in valid UTF-8 without control characters" },
    { "<domain type='corral'><name> a</name></domain>",
      "line 1: <name>: expected a name without spaces around it" },
    { "<domain type='corral'><name><b/></name></domain>",
      "line 1: <name>: expected text only, not <b>" },
    { "<domain type='corral'><name x='1'>a</name></domain>",
      "line 1: <name>: expected no attributes, not \"x\"" },
    { "<domain type='corral'>\n<title/><name>a.b</name></domain>",
      "line 2: <name>: \"a.b\" cannot be part of a partition's path (letters, digits, \"_\" and "
      "\"-\" can); expected a <resource><partition> beside it" },
    { DOMAIN ("<uuid>0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f</uuid>"),
      "line 3: <uuid>: expected 32 hexadecimal digits, not all zero, not "
      "\"0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f\"" },
    { DOMAIN ("<uuid>00000000-0000-0000-0000-000000000000</uuid>"),
      "line 3: <uuid>: expected 32 hexadecimal digits, not all zero, not "
      "\"00000000-0000-0000-0000-000000000000\"" },
    { DOMAIN ("<title>a\nb</title>"), "line 3: <title>: expected a single line" },

    { DOMAIN ("<metadata><x/></metadata>"),
      "line 3: <x>: expected an element with a namespace of its own in <metadata>" },
    { DOMAIN ("<metadata>\n<c:x xmlns:c='urn:corral:1'/></metadata>"),
      "line 4: <corral:x>: expected a namespace other than Corral's own in <metadata>" },
    { DOMAIN ("<metadata><d:drift xmlns:d='urn:corral:drift:1'/></metadata>"),
      "line 3: <d:drift>: expected a namespace other than Corral's own in <metadata>" },
    { DOMAIN ("<metadata><a xmlns='u:1'/><a xmlns='u:2'/>\n<b xmlns='u:1'/></metadata>"),
      "line 4: <b>: expected only one element of the namespace \"u:1\"" },
    { "<domain type='corral' xmlns:q='u:&amp;'><name>a</name>\n"
      "<metadata><q:x/></metadata></domain>",
      "line 2: <q:x>: expected a namespace URI without \"&\"" },
    { DOMAIN ("<metadata>text</metadata>"),
      "line 3: <metadata>: expected elements only, not text" },

    { DOMAIN ("<vcpu placement='dynamic'/>"),
      "line 3: <vcpu>: expected placement='static' or 'auto', not \"dynamic\"" },
    { DOMAIN ("<vcpu>two</vcpu>"), "line 3: <vcpu>: expected a number or nothing, not \"two\"" },
    { DOMAIN ("<vcpu cpuset=''/>"),
      "line 3: <vcpu>: expected in \"cpuset\" a list of pCPUs such as 0-3,8 (up to 8191), "
      "not \"\"" },
    { DOMAIN ("<vcpu cpuset='0-'/>"),
      "line 3: <vcpu>: expected in \"cpuset\" a list of pCPUs such as 0-3,8 (up to 8191), "
      "not \"0-\"" },
    { DOMAIN ("<vcpu cpuset='0,,1'/>"),
      "line 3: <vcpu>: expected in \"cpuset\" a list of pCPUs such as 0-3,8 (up to 8191), "
      "not \"0,,1\"" },
    { DOMAIN ("<vcpu cpuset='1,^1'/>"),
      "line 3: <vcpu>: expected in \"cpuset\" a list of pCPUs such as 0-3,8 (up to 8191), "
      "not \"1,^1\"" },
    { DOMAIN ("<vcpu cpuset='8192'/>"),
      "line 3: <vcpu>: expected in \"cpuset\" a list of pCPUs such as 0-3,8 (up to 8191), "
      "not \"8192\"" },
    { DOMAIN ("<numatune><memory mode='preferred' nodeset='0'/></numatune>"),
      "line 3: <memory>: expected mode='strict', not \"preferred\"" },
    { DOMAIN ("<numatune><memory mode='strict'/></numatune>"),
      "line 3: <memory>: expected the attribute \"nodeset\"" },
    { DOMAIN ("<numatune><memnode cellid='0'/></numatune>"),
      "line 3: <memnode> is unknown in <numatune>; expected one of: memory" },

    { DOMAIN ("<cputune>\n<shares>1</shares></cputune>"),
      "line 4: <shares>: expected a whole number from 2 to 262144, not \"1\"" },
    { DOMAIN ("<cputune><shares>262145</shares></cputune>"),
      "line 3: <shares>: expected a whole number from 2 to 262144, not \"262145\"" },
    { DOMAIN ("<cputune><shares>1e3</shares></cputune>"),
      "line 3: <shares>: expected a whole number from 2 to 262144, not \"1e3\"" },
    { DOMAIN ("<cputune><period>999</period></cputune>"),
      "line 3: <period>: expected a whole number from 1000 to 1000000 (microseconds), "
      "not \"999\"" },
    { DOMAIN ("<cputune><global_period>1000001</global_period></cputune>"),
      "line 3: <global_period>: expected a whole number from 1000 to 1000000 (microseconds), "
      "not \"1000001\"" },
    { DOMAIN ("<cputune><global_quota>999</global_quota></cputune>"),
      "line 3: <global_quota>: expected a whole number from 1000 to 17592186044415 "
      "(microseconds), or -1 for no cap, not \"999\"" },
    { DOMAIN ("<cputune><quota>17592186044416</quota></cputune>"),
      "line 3: <quota>: expected a whole number from 1000 to 17592186044415 (microseconds), "
      "or -1 for no cap, not \"17592186044416\"" },
    { DOMAIN ("<cputune><period>2000</period>\n<global_period>3000</global_period></cputune>"),
      "line 4: <global_period>: expected the same value in <period> and <global_period>, which "
      "both mean the container's cap" },
    { DOMAIN ("<cputune><global_quota>-1</global_quota>\n<quota>3000</quota></cputune>"),
      "line 4: <quota>: expected the same value in <quota> and <global_quota>, which both mean "
      "the container's cap" },
    { DOMAIN ("<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>"),
      "line 3: <vcpupin> is unknown in <cputune>; expected one of: shares, global_period, "
      "period, global_quota, quota" },
    { DOMAIN ("<title/>\n" BURST ("5")),
      "line 4: <corral:burst>: expected a <global_quota> beside it" },
    { DOMAIN (BURST ("1001") "<cputune><quota>1000</quota></cputune>"),
      "line 3: <corral:burst>: expected at most the quota, 1000, not \"1001\"" },
    { DOMAIN (BURST ("-1")), "line 3: <corral:burst>: expected a whole number from 0 to the quota "
                             "(microseconds), not \"-1\"" },

    { DOMAIN ("<resource><partition>machine</partition></resource>"),
      "line 3: <partition>: cannot use \"machine\" as a container's partition: it is not "
      "absolute" },
    { DOMAIN ("<resource><partition>/machine/../x</partition></resource>"),
      "line 3: <partition>: cannot use \"/machine/../x\" as a container's partition: a component "
      "holds a dot, which libvirt takes for the end of its own naming rule" },
    { DOMAIN ("<resource><fibrechannel appid='1'/></resource>"),
      "line 3: <fibrechannel> is unknown in <resource>; expected one of: partition" },

    { DOMAIN ("<devices>\n<disk/></devices>"),
      "line 4: <disk> is unknown in <devices>; expected one of: member" },
    { DOMAIN ("<devices><member name='x'/></devices>"),
      "line 3: <member>: expected type='vm' or type='vcpu', not \"\"" },
    { DOMAIN ("<devices><member type='disk' name='x'/></devices>"),
      "line 3: <member>: expected type='vm' or type='vcpu', not \"disk\"" },
    { DOMAIN ("<devices><member type='vm'/></devices>"),
      "line 3: <member>: expected a name, not nothing in \"name\"" },
    { DOMAIN ("<devices><member type='vm' name='x' vcpu='1'/></devices>"),
      "line 3: <member>: attribute \"vcpu\" is unknown; expected type, name" },
    { DOMAIN ("<devices><member type='vm' name='x'>y</member></devices>"),
      "line 3: <member>: expected attributes only, not text" },
    { DOMAIN ("<devices><member type='vcpu' name='x'/></devices>"),
      "line 3: <member>: expected in \"vcpu\" the vCPU's number, from 0 to 8191, not \"\"" },
    { DOMAIN ("<devices><member type='vcpu' name='x' vcpu='-1'/></devices>"),
      "line 3: <member>: expected in \"vcpu\" the vCPU's number, from 0 to 8191, not \"-1\"" },
    { DOMAIN ("<devices><member type='vcpu' name='x*' vcpu='1'/></devices>"),
      "line 3: <member>: expected the name of one VM for type='vcpu', not the pattern \"x*\"" },
    { DOMAIN ("<devices>\n<member type='vm' name='x'/><member name='x' type='vm'/></devices>"),
      "line 3: <devices>: expected <member type='vm' name='x'/> only once" },

    /* Nothing in a document type is looked at: no entity blows up, and no file is read. */
    { "<!DOCTYPE domain>\n<domain type='corral'><name>a</name></domain>",
      "line 1: <!DOCTYPE>: expected a document without a document type" },
    { "\n<!DOCTYPE domain [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>\n"
      "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]>\n"
      "<domain type='corral'><name>&c;</name></domain>",
      "line 2: <!DOCTYPE>: expected a document without a document type" },
    { "<!DOCTYPE domain SYSTEM 'file:///etc/passwd' [<!ENTITY % p SYSTEM 'http://x/'> %p;]>\n"
      "<domain type='corral'><name>a</name></domain>",
      "line 1: <!DOCTYPE>: expected a document without a document type" },
    { "<domain type='corral'>\n<name>&e;</name></domain>", "line 2: Entity 'e' not defined" },
};

static void
assert_refused (const char *xml, gsize length, const char *message)
{
    g_autofree char *expected =
        g_strconcat ("cannot read the container definition: ", message, NULL);
    g_autoptr (GError) error = NULL;
    CorralDefinition *definition = NULL;

    g_assert_false (corral_definition_parse (xml, length, &definition, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
    g_assert_cmpstr (error->message, ==, expected);
    g_assert_null (definition);
}

static void
test_refused (void)
{
    for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
        assert_refused (refused[i].xml, strlen (refused[i].xml), refused[i].message);
}

/* The schema is installed for others to use, so it has to refuse things on its own, without the
 * reader that corral_definition_parse() asks first. */
static void
test_schema (void)
{
    static const char *const bad[] = {
        "<domain type='kvm'><name>a</name></domain>",
        "<domain type='corral'/>",
        DOMAIN ("<name>b</name>"),
        DOMAIN ("<disk/>"),
        DOMAIN ("text"),
        DOMAIN ("<placement/>"),
        DOMAIN ("<uuid>1</uuid>"),
        DOMAIN ("<metadata><x/></metadata>"),
        DOMAIN ("<metadata><plan xmlns='urn:corral:plan:1'/></metadata>"),
        DOMAIN ("<c:placement xmlns:c='urn:corral:1' mode='none'/>"),
        DOMAIN ("<c:placement xmlns:c='urn:corral:1' overcommit='1.0005'/>"),
        DOMAIN ("<c:placement xmlns:c='urn:corral:1' overcommit='100.1'/>"),
        DOMAIN ("<c:placement xmlns:c='urn:corral:1'>x</c:placement>"),
        DOMAIN ("<c:reserve xmlns:c='urn:corral:1'/>"),
        DOMAIN ("<c:limit xmlns:c='urn:corral:1' vcpus='0'/>"),
        DOMAIN ("<c:share xmlns:c='urn:corral:1' percent='101'/>"),
        DOMAIN ("<c:share xmlns:c='urn:corral:1' percent='1' helpers='0'/>"),
        "<c:placement xmlns:c='urn:corral:1' mode='shared'/>",
        DOMAIN ("<vcpu cpuset='a'/>"),
        DOMAIN ("<vcpu placement='dynamic'/>"),
        DOMAIN ("<numatune><memory mode='preferred' nodeset='0'/></numatune>"),
        DOMAIN ("<cputune><shares>1</shares></cputune>"),
        DOMAIN ("<cputune><global_quota>x</global_quota></cputune>"),
        DOMAIN ("<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>"),
        DOMAIN ("<resource><partition>/a.b</partition></resource>"),
        DOMAIN ("<devices><member type='vm'/></devices>"),
        DOMAIN ("<devices><member type='vcpu' name='a'/></devices>"),
        DOMAIN (BURST ("-1")),
    };

    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_auto (CorralXmlReader) reader = { NULL };

        g_test_message ("%s", bad[i]);
        g_assert_true (corral_xml_reader_init (&reader, "it", bad[i], strlen (bad[i]),
                                               CORRAL_XML_MAX, 0));
        g_assert_false (corral_xml_validate (&reader, CORRAL_XML_CONTAINER));
        g_assert_error (reader.error, CORRAL_ERROR, CORRAL_ERROR_XML);
    }
    for (gsize i = 0; i < G_N_ELEMENTS (accepted); i++) {
        g_auto (CorralXmlReader) reader = { NULL };

        g_assert_true (corral_xml_reader_init (&reader, "it", accepted[i].xml,
                                               strlen (accepted[i].xml), CORRAL_XML_MAX, 0));
        g_assert_true (corral_xml_validate (&reader, CORRAL_XML_CONTAINER));
        g_assert_no_error (reader.error);
    }
}

static void
test_name_length (void)
{
    g_autofree char *longest = g_strnfill (CORRAL_NAME_MAX, 'x');
    g_autofree char *good =
        g_strdup_printf ("<domain type='corral'><name>%s</name></domain>", longest);
    g_autofree char *bad =
        g_strdup_printf ("<domain type='corral'><name>%sx</name></domain>", longest);
    g_autoptr (CorralDefinition) definition = parse (good);

    g_assert_cmpstr (definition->name, ==, longest);
    assert_refused (bad, strlen (bad), "line 1: <name>: expected a name of at most 200 bytes");
}

/* The length is what counts, not a NUL. */
static void
test_size (void)
{
    static const char head[] = "<domain type='corral'><name>a</name>";
    static const char tail[] = "</domain>";
    g_autofree char *xml = g_strnfill (CORRAL_XML_MAX + 1, ' ');
    g_autoptr (GError) error = NULL;
    g_autoptr (CorralDefinition) definition = NULL;

    memcpy (xml, head, strlen (head));
    memcpy (xml + CORRAL_XML_MAX - strlen (tail), tail, strlen (tail));
    g_assert_true (corral_definition_parse (xml, CORRAL_XML_MAX, &definition, &error));
    g_assert_no_error (error);
    assert_refused (xml, CORRAL_XML_MAX + 1, "expected at most 1048576 bytes");
    assert_refused (xml, strlen (head), "line 1: Premature end of data in tag domain line 1");
}

static char *
nested (guint depth)
{
    GString *xml = g_string_new ("<domain type='corral'><name>a</name><os>");

    for (guint i = 0; i < depth; i++)
        g_string_append (xml, "<x>");
    for (guint i = 0; i < depth; i++)
        g_string_append (xml, "</x>");
    g_string_append (xml, "</os></domain>");
    return g_string_free (xml, FALSE);
}

static void
test_depth (void)
{
    g_autofree char *good = nested (62);
    g_autofree char *bad = nested (63);
    g_autofree char *worse = nested (120000);
    g_autoptr (CorralDefinition) definition = parse (good);

    assert_refused (bad, strlen (bad), "line 1: <x>: expected at most 64 levels of elements");
    assert_refused (worse, strlen (worse),
                    "line 1: Excessive depth in document: 256 use XML_PARSE_HUGE option");
}

/* As much of everything as fits: time must not grow with the square of it. */
static void
test_crowded (void)
{
    g_autoptr (GString) members = g_string_new (NULL);
    g_autoptr (GString) metadata = g_string_new (NULL);
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;
    g_autoptr (GString) dropped = g_string_new (NULL);
    g_autofree char *third = NULL;
    g_autoptr (CorralDefinition) with_members = NULL;
    g_autoptr (CorralDefinition) with_dropped = NULL;
    g_autoptr (CorralDefinition) with_metadata = NULL;
    gint64 start = g_get_monotonic_time ();
    double seconds;

    for (guint i = 0; i < 30000; i++)
        g_string_append_printf (members, "<member type='vm' name='%u'/>", i);
    for (guint i = 0; i < 30000; i++)
        g_string_append_printf (metadata, "<x xmlns='u:%u'/>", i);
    for (guint i = 0; i < 200000; i++)
        g_string_append (dropped, "<a/>");
    third = g_strdup_printf (DOMAIN ("<os>%s</os>"), dropped->str);
    first = g_strdup_printf (DOMAIN ("<devices>%s</devices>"), members->str);
    second = g_strdup_printf (DOMAIN ("<metadata>%s</metadata>"), metadata->str);
    with_members = parse (first);
    with_metadata = parse (second);
    with_dropped = parse (third);
    seconds = (double) (g_get_monotonic_time () - start) / G_USEC_PER_SEC;
    g_test_message ("30000 members, 30000 metadata elements, 200000 others took %.2f s", seconds);
    g_assert_cmpuint (with_members->members->len, ==, 30000);
    g_assert_cmpuint (with_metadata->metadata->len, ==, 30000);
    g_assert_cmpfloat (seconds, <, 30);
}

/* libxml2 compares each attribute of an element with all others; no element of ours has many. */
static void
test_attributes (void)
{
    static const char *const hides[] = { "<!-- <x ' -->", "<title><![CDATA[<x ']]></title>",
                                         "<?x <x ' ?>" };
    g_autoptr (GString) many = g_string_new ("<domain type='corral'>\n<name>a</name>\n<os");
    g_autoptr (GString) comment = g_string_new ("<domain type='corral'><!-- ");
    g_autoptr (CorralDefinition) definition = NULL;
    g_autoptr (CorralDefinition) quoted = NULL;

    for (guint i = 0; i < 1000; i++)
        g_string_append_printf (many, " a%u=%s", i, i % 2 == 0 ? "'>\"'" : "\"'\"");
    g_string_append (many, "/></domain>");
    definition = parse (many->str);
    g_string_insert (many, (gssize) (strstr (many->str, "/></domain>") - many->str), " b=''");
    assert_refused (many->str, many->len, "line 3: expected at most 1000 attributes in an element");
    /* Nor does it help to hide the first quote of a pair. */
    for (gsize i = 0; i < G_N_ELEMENTS (hides); i++) {
        g_autofree char *xml =
            g_strconcat ("<domain type='corral'>", hides[i], strstr (many->str, "\n"), NULL);

        assert_refused (xml, strlen (xml),
                        "line 3: expected at most 1000 attributes in an element");
    }
    /* Quotes that are no attributes, however many. */
    for (guint i = 0; i < 3000; i++)
        g_string_append (comment, "='x' ");
    g_string_append (comment, "--><name>a</name><description>it's ' = ' \"</description></domain>");
    quoted = parse (comment->str);
}

static void
test_member (void)
{
    static const struct {
        const char *xml;
        const char *message; /* NULL: good */
    } members[] = {
        { "<member type='vm' name='web1'/>", NULL },
        { "\n<!-- c --><member vcpu='0' name='w&amp;' type='vcpu'></member>\n", NULL },
        { "<disk type='vm' name='web1'/>",
          "cannot read the member: line 1: <disk>: expected <member type='vm' name='...'/>" },
        { "<member type='vm' name='a'/><member type='vm' name='b'/>",
          "cannot read the member: line 1: Extra content at the end of the document" },
        { "\n<member type='vm' name='a/b'/>",
          "cannot read the member: line 2: <member>: expected a name without \"/\" in \"name\"" },
        { "<!DOCTYPE member><member type='vm' name='a'/>",
          "cannot read the member: line 1: <!DOCTYPE>: expected a document without a document "
          "type" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (members); i++) {
        g_autoptr (CorralMemberDef) member = NULL;
        g_autoptr (CorralMemberDef) again = NULL;
        g_autofree char *text = NULL;
        g_autoptr (GError) error = NULL;
        gboolean ok =
            corral_member_def_parse (members[i].xml, strlen (members[i].xml), &member, &error);

        g_assert_cmpint (ok, ==, members[i].message == NULL);
        if (!ok) {
            g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
            g_assert_cmpstr (error->message, ==, members[i].message);
            continue;
        }
        text = corral_member_def_format (member);
        g_assert_true (corral_member_def_parse (text, strlen (text), &again, &error));
        g_assert_true (corral_member_def_equal (member, again));
        again->vcpu++;
        g_assert_false (corral_member_def_equal (member, again));
    }
}

static void
test_vm_partition (void)
{
    static const struct {
        const char *xml;
        const char *name; /* NULL: refused */
        const char *partition;
        const char *message;
    } domains[] = {
        { "<domain type='kvm' id='1' xmlns:qemu='http://q'><name>web1</name><qemu:x/><devices>"
          "<resource><partition>/wrong</partition></resource></devices><resource>"
          "<partition>/machine/prod</partition></resource></domain>",
          "web1", "/machine/prod", NULL },
        { "<domain><name>web1</name></domain>", "web1", NULL, NULL },
        { "<domain><name>web1</name><resource/></domain>", "web1", NULL, NULL },
        { "<network><name>x</name></network>", NULL, NULL,
          "cannot read the domain's document: line 1: <network>: expected <domain>" },
        { "<domain/>", NULL, NULL,
          "cannot read the domain's document: line 1: <domain>: expected a <name>" },
        { "<!DOCTYPE domain><domain><name>x</name></domain>", NULL, NULL,
          "cannot read the domain's document: line 1: <!DOCTYPE>: expected a document without a "
          "document type" },
        { "garbage", NULL, NULL,
          "cannot read the domain's document: line 1: Start tag expected, '<' not found" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (domains); i++) {
        g_autofree char *name = NULL;
        g_autofree char *partition = NULL;
        g_autoptr (GError) error = NULL;
        gboolean ok = corral_vm_partition_parse (domains[i].xml, strlen (domains[i].xml), &name,
                                                 &partition, &error);

        g_assert_cmpint (ok, ==, domains[i].name != NULL);
        g_assert_cmpstr (name, ==, domains[i].name);
        g_assert_cmpstr (partition, ==, domains[i].partition);
        if (!ok)
            g_assert_cmpstr (error->message, ==, domains[i].message);
    }
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/policy/definition/everything", test_everything);
    g_test_add_func ("/policy/definition/smallest", test_smallest);
    g_test_add_func ("/policy/definition/accepted", test_accepted);
    g_test_add_func ("/policy/definition/refused", test_refused);
    g_test_add_func ("/policy/definition/schema", test_schema);
    g_test_add_func ("/policy/definition/name-length", test_name_length);
    g_test_add_func ("/policy/definition/size", test_size);
    g_test_add_func ("/policy/definition/depth", test_depth);
    g_test_add_func ("/policy/definition/crowded", test_crowded);
    g_test_add_func ("/policy/definition/attributes", test_attributes);
    g_test_add_func ("/policy/definition/member", test_member);
    g_test_add_func ("/policy/definition/vm-partition", test_vm_partition);
    return g_test_run ();
}
