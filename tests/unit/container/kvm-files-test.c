/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-kvm-files.h"

#include <errno.h>
#include <string.h>

#define STAT                                                                                       \
    "guest_usec 1552994\nhost_usec 11281\nrun_delay_usec 168\nhalt_poll_usec 5\n"                  \
    "halt_wait_usec 1526451\nexits 394"

static void
test_stat (void)
{
    static const char *const good[] = { STAT, STAT "\n", STAT "\nlater_usec 12\nword\n",
                                        "\n" STAT };
    CorralContainerKvmUsage usage;

    for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
        memset (&usage, 0xff, sizeof usage);
        g_assert_true (corral_kvm_stat_parse (good[i], &usage));
        g_assert_cmpuint (usage.guest_ns, ==, 1552994000);
        g_assert_cmpuint (usage.host_ns, ==, 11281000);
        g_assert_cmpuint (usage.run_delay_ns, ==, 168000);
        g_assert_cmpuint (usage.halt_poll_ns, ==, 5000);
        g_assert_cmpuint (usage.halt_wait_ns, ==, 1526451000);
        g_assert_cmpuint (usage.exits, ==, 394);
    }
}

static void
test_bad_stat (void)
{
    static const char *const bad[] = {
        "",
        "guest_usec 1",
        STAT "0 ",
        STAT "x",
        STAT "\nexits 395",
        "-" STAT,
        "guest_usec -1\nhost_usec 1\nrun_delay_usec 1\nhalt_poll_usec 1\nhalt_wait_usec 1\nexits 1",
        "guest_usec 18446744073709552\nhost_usec 1\nrun_delay_usec 1\nhalt_poll_usec 1\n"
        "halt_wait_usec 1\nexits 1",
        "guest_usec\nhost_usec 1\nrun_delay_usec 1\nhalt_poll_usec 1\nhalt_wait_usec 1\nexits 1",
    };
    CorralContainerKvmUsage usage;

    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_test_message ("%s", bad[i]);
        memset (&usage, 0x5a, sizeof usage);
        g_assert_false (corral_kvm_stat_parse (bad[i], &usage));
        g_assert_cmphex (usage.guest_ns, ==, 0x5a5a5a5a5a5a5a5a);
    }
}

static int
find (const char *text, pid_t pid, guint *ret_fd, char **ret_list, gboolean *ret_complete)
{
    g_autoptr (GArray) vcpus = g_array_new (FALSE, FALSE, sizeof (CorralKvmVcpu));
    g_autoptr (GString) list = g_string_new (NULL);
    int err = corral_kvm_vms_find (text, pid, ret_fd, vcpus, ret_complete);

    for (guint i = 0; i < vcpus->len; i++)
        g_string_append_printf (list, "%s%d=%d", i > 0 ? " " : "",
                                g_array_index (vcpus, CorralKvmVcpu, i).id,
                                (int) g_array_index (vcpus, CorralKvmVcpu, i).tid);
    *ret_list = g_strdup (list->str);
    return err;
}

static void
test_vms (void)
{
    static const char text[] = "2045-11 vcpus=2 vcpu.0=2051 vcpu.1=2052\n"
                               "45-7 vcpus=0\n"
                               "2210-11 vcpus=4 vcpu.0=2216\n"
                               "9-30 vcpus=2 vcpu.0=10 vcpu.4=0\n"
                               "7-12 vcpus=1 later=2 vcpu.8=99\n"
                               "7-13 vcpus=2 vcpu.0=98";
    static const struct {
        pid_t pid;
        int err;
        guint fd;
        gboolean complete;
        const char *list;
    } cases[] = {
        { 2045, 0, 11, TRUE, "0=2051 1=2052" }, { 45, 0, 7, TRUE, "" },
        { 2210, 0, 11, FALSE, "0=2216" },       { 9, 0, 30, TRUE, "0=10" },
        { 7, 0, 12, FALSE, "8=99 0=98" },       { 5, ENOENT, 0, FALSE, "" },
        { 204, ENOENT, 0, FALSE, "" },          { 20455, ENOENT, 0, FALSE, "" },
    };

    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autofree char *list = NULL;
        gboolean complete = FALSE;
        guint fd = 0;

        g_assert_cmpint (find (text, cases[i].pid, &fd, &list, &complete), ==, cases[i].err);
        g_assert_cmpuint (fd, ==, cases[i].fd);
        g_assert_cmpstr (list, ==, cases[i].list);
        g_assert_cmpint (complete, ==, cases[i].complete);
    }
}

static void
test_bad_vms (void)
{
    static const char *const bad[] = {
        "7-",
        "7- vcpus=1",
        "7-x vcpus=1",
        "7--1 vcpus=1",
        "7-4294967296 vcpus=1",
        "7-11",
        "7-11 vcpus=",
        "7-11 vcpus=-1",
        "7-11 vcpus=4294967296",
        "7-11 vcpus=1 vcpu.0",
        "7-11 vcpus=1 vcpu.=5",
        "7-11 vcpus=1 vcpu.0=",
        "7-11 vcpus=1 vcpu.0=-5",
        "7-11 vcpus=1 vcpu.0=2147483648",
        "7-11 vcpus=1 vcpu.2147483648=5",
        "7-11 vcpus=1 vcpu.0=5=6",
        "7-11\tvcpus=1",
        "7-11 vcpus=1\n7-12 vcpus=?",
    };

    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
        g_autofree char *list = NULL, *other = NULL;
        gboolean complete;
        guint fd;

        g_test_message ("%s", bad[i]);
        g_assert_cmpint (find (bad[i], 7, &fd, &list, &complete), ==, EILSEQ);
        /* What is wrong with another's line is no matter. */
        g_assert_cmpint (find (bad[i], 8, &fd, &other, &complete), ==, ENOENT);
    }
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/kvm-files/stat", test_stat);
    g_test_add_func ("/kvm-files/bad-stat", test_bad_stat);
    g_test_add_func ("/kvm-files/vms", test_vms);
    g_test_add_func ("/kvm-files/bad-vms", test_bad_vms);
    return g_test_run ();
}
