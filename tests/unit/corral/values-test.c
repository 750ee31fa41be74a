/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values that the command reads: a container's XML, caps, lists of pCPUs, libvirt's errors. */
#include "libvirt-driver/client/corral-client-error.h"
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-cpus.h"
#include "libvirt-driver/corral/corral-cli-tune.h"

#include "common/corral-error.h"

#include <string.h>

static const char definition[] = "<domain type='corral'>\n"
                                 "  <name>prod</name>\n"
                                 "  <title> A box </title>\n"
                                 "  <vcpu placement='static' cpuset='0-1'>4</vcpu>\n"
                                 "  <numatune><memory mode='strict' nodeset='0'/></numatune>\n"
                                 "  <resource><partition>/machine/prod</partition></resource>\n"
                                 "  <devices>\n"
                                 "    <member type='vm' name='db*'/>\n"
                                 "    <member type='vcpu' name='web&lt;1' vcpu='3'/>\n"
                                 "    <member type='vcpu' name='bad' vcpu='x'/>\n"
                                 "  </devices>\n"
                                 "</domain>\n";

static void
test_xml (void)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (CorralCliXml) xml = corral_cli_xml_parse (definition, &error);
    const CorralCliMember *member;

    g_assert_no_error (error);
    g_assert_cmpstr (xml->title, ==, "A box");
    g_assert_null (xml->description);
    g_assert_cmpstr (xml->partition, ==, "/machine/prod");
    g_assert_cmpstr (xml->cpus, ==, "0-1");
    g_assert_cmpstr (xml->mems, ==, "0");
    g_assert_cmpuint (xml->members->len, ==, 2);
    member = xml->members->pdata[1];
    g_assert_cmpstr (member->name, ==, "web<1");
    g_assert_cmpint (member->vcpu, ==, 3);
    member = xml->members->pdata[0];
    g_assert_cmpint (member->vcpu, ==, -1);

    g_assert_null (corral_cli_xml_parse ("<network/>", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
    g_clear_error (&error);
    g_assert_null (corral_cli_xml_parse ("<domain>", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
}

static void
test_xml_mems (void)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *other = corral_cli_xml_set_mems (definition, "1-2", &error);
    g_autofree char *none = corral_cli_xml_set_mems (definition, "", &error);
    g_autofree char *again = corral_cli_xml_set_mems (none, "3", &error);
    g_autoptr (CorralCliXml) with = corral_cli_xml_parse (other, &error);
    g_autoptr (CorralCliXml) without = corral_cli_xml_parse (none, &error);
    g_autoptr (CorralCliXml) anew = corral_cli_xml_parse (again, &error);

    g_assert_no_error (error);
    g_assert_cmpstr (with->mems, ==, "1-2");
    g_assert_nonnull (strstr (other, "mode=\"strict\""));
    g_assert_null (without->mems);
    g_assert_null (strstr (none, "numatune"));
    g_assert_cmpstr (anew->mems, ==, "3");
    g_assert_cmpstr (anew->cpus, ==, "0-1");
    g_assert_cmpuint (anew->members->len, ==, 2);
}

static void
assert_quota (const char *text, gint64 period, gint64 expected)
{
    g_autoptr (GError) error = NULL;
    gint64 quota = 0;

    g_assert_true (corral_cli_tune_parse_quota (text, period, &quota, &error));
    g_assert_no_error (error);
    g_assert_cmpint (quota, ==, expected);
}

static void
test_quota (void)
{
    static const char *const bad[] = { "",     "%",    "0",    "-5",
                                       "5x",   "nan%", "inf%", "1e400%",
                                       "0x10", "50 %", "-1%",  "99999999999999999999" };

    assert_quota ("none", 100000, -1);
    assert_quota ("-1", 100000, -1);
    assert_quota ("50000", 100000, 50000);
    assert_quota ("150%", 100000, 150000);
    assert_quota ("12.5%", 20000, 2500);
    for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autoptr (GError) error = NULL;
        gint64 quota;

        g_test_message ("\"%s\"", bad[i]);
        g_assert_false (corral_cli_tune_parse_quota (bad[i], 100000, &quota, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    }
}

static void
test_cpus (void)
{
    g_autoptr (GError) error = NULL;
    g_autofree guint8 *map = NULL;
    g_autofree char *list = NULL;
    guint8 *none = NULL;

    g_assert_true (corral_cli_cpus_parse ("0-2,9", 12, &map, &error));
    g_assert_cmpuint (map[0], ==, 0x07);
    g_assert_cmpuint (map[1], ==, 0x02);
    list = corral_cli_cpus_format (map, 2);
    g_assert_cmpstr (list, ==, "0-2,9");

    g_assert_false (corral_cli_cpus_parse ("12", 12, &none, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_FAILED);
    g_clear_error (&error);
    g_assert_false (corral_cli_cpus_parse ("", 12, &none, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_cli_cpus_parse ("a", 12, &none, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

/* "a" has its vCPUs 0 and 1 here, "b" its vCPUs 1 and 3 */
static void
test_vms (void)
{
    CorralCliContainer container = { .id = 1, .stats = json_object_new () };
    g_autoptr (GPtrArray) vms = NULL;
    const CorralCliVm *a, *b;

    json_object_set_int_member (container.stats, "corral.vm.count", 3);
    json_object_set_string_member (container.stats, "corral.vm.0.name", "a");
    json_object_set_string_member (container.stats, "corral.vm.0.vcpus", "0-1");
    json_object_set_string_member (container.stats, "corral.vm.1.name", "b");
    json_object_set_string_member (container.stats, "corral.vm.1.vcpus", "1,3");
    json_object_set_string_member (container.stats, "corral.vm.2.name", "c");
    json_object_set_string_member (container.stats, "corral.vm.2.vcpus", "nonsense");
    vms = corral_cli_container_vms (&container);
    g_assert_cmpuint (vms->len, ==, 2);
    a = vms->pdata[0];
    b = vms->pdata[1];
    g_assert_cmpint (corral_cli_vm_number (a, 1), ==, 1);
    g_assert_cmpint (corral_cli_vm_number (a, 2), ==, -1);
    g_assert_cmpint (corral_cli_vm_number (b, 1), ==, 2);
    g_assert_cmpint (corral_cli_vm_number (b, 3), ==, 3);
    g_assert_cmpint (corral_cli_vm_number (b, 0), ==, -1);
    json_object_unref (container.stats);
}

static CorralCliContainer *
container_at (const char *name, const char *partition)
{
    CorralCliContainer *container = g_new0 (CorralCliContainer, 1);

    container->name = g_strdup (name);
    container->xml = g_new0 (CorralCliXml, 1);
    container->xml->partition = g_strdup (partition);
    container->stats = json_object_new ();
    return container;
}

static void
test_parent (void)
{
    g_autoptr (GPtrArray) all =
        g_ptr_array_new_with_free_func ((GDestroyNotify) corral_cli_container_free);

    g_ptr_array_add (all, container_at ("db", "/machine/prod/eu/db"));
    g_ptr_array_add (all, container_at ("other", "/machine/pro"));
    g_ptr_array_add (all, container_at ("prod", "/machine/prod"));
    g_ptr_array_add (all, container_at ("eu", "/machine/prod/eu"));
    g_ptr_array_add (all, container_at ("none", NULL));
    g_assert_true (corral_cli_container_parent (all, all->pdata[0]) == all->pdata[3]);
    g_assert_true (corral_cli_container_parent (all, all->pdata[3]) == all->pdata[2]);
    g_assert_null (corral_cli_container_parent (all, all->pdata[2]));
    g_assert_null (corral_cli_container_parent (all, all->pdata[4]));
}

/* The error must be kept before the name is asked for, which forgets it. */
static void
test_libvirt_error (void)
{
    g_autoptr (virConnect) conn = NULL;
    g_autoptr (virDomain) domain = NULL;
    g_autoptr (GError) error = NULL;

    corral_client_silence_errors ();
    conn = virConnectOpen ("test:///default");
    g_assert_nonnull (conn);
    domain = virDomainLookupByName (conn, "test");
    g_assert_nonnull (domain);
    g_assert_cmpint (virDomainCreate (domain), <, 0);
    corral_client_set_error (&error, "cannot start \"%s\"", virDomainGetName (domain));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_FAILED);
    g_assert_true (g_str_has_prefix (error->message, "cannot start \"test\": "));
    g_assert_null (strstr (error->message, "no reason"));
    g_clear_error (&error);
    g_assert_null (virDomainLookupByName (conn, "nobody"));
    corral_client_set_error (&error, "cannot find it");
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/values/xml", test_xml);
    g_test_add_func ("/values/xml-mems", test_xml_mems);
    g_test_add_func ("/values/quota", test_quota);
    g_test_add_func ("/values/cpus", test_cpus);
    g_test_add_func ("/values/vms", test_vms);
    g_test_add_func ("/values/parent", test_parent);
    g_test_add_func ("/values/libvirt-error", test_libvirt_error);
    return g_test_run ();
}
