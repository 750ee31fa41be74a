/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPUs, pins, weight and cap, statistics, and facts about the host. */
#include "tests/unit/driver/driver-fixture.h"

/* --- vCPUs --- */

static void
test_vcpus (Fixture *fixture, gconstpointer data)
{
    CorralWireVcpusRet vcpus = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPUS,
                 &(CorralWireVcpusArgs){ fixture->prod, 10, 2 }, &vcpus);
    g_assert_cmpuint (vcpus.info.info_len, ==, 4);
    g_assert_cmpuint (vcpus.info.info_val[3].number, ==, 3);
    g_assert_cmpuint (vcpus.info.info_val[3].cpu_time, ==, 1003);
    g_assert_cmpint (vcpus.info.info_val[3].cpu, ==, 3);
    g_assert_cmpint (vcpus.info.info_val[2].state, ==, VIR_VCPU_RUNNING);
    g_assert_cmpint (vcpus.info.info_val[3].state, ==, VIR_VCPU_BLOCKED);
    g_assert_cmpuint (vcpus.cpumaps.cpumaps_len, ==, 8);
    g_assert_cmpint (vcpus.cpumaps.cpumaps_val[6], ==, 0x0f);
    wire_free (CORRAL_PROC_DOMAIN_GET_VCPUS, &vcpus);

    /* Never more than there is room for; and without maps when none are asked for. */
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPUS,
                 &(CorralWireVcpusArgs){ fixture->prod, 3, 0 }, &vcpus);
    g_assert_cmpuint (vcpus.info.info_len, ==, 3);
    g_assert_cmpuint (vcpus.cpumaps.cpumaps_len, ==, 0);
    wire_free (CORRAL_PROC_DOMAIN_GET_VCPUS, &vcpus);
}

static void
test_vcpu_bounds (Fixture *fixture, gconstpointer data)
{
    static const int bad[][2] = { { -1, 1 },      { 1, -1 },       { 16385, 1 },
                                  { 16384, 513 }, { 2, G_MAXINT }, { G_MININT, G_MININT } };

    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
        assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPUS,
                        &(CorralWireVcpusArgs){ fixture->prod, bad[i][0], bad[i][1] },
                        VIR_ERR_INVALID_ARG, "invalid argument: ");
        assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPU_PIN_INFO,
                        &(CorralWireVcpuPinInfoArgs){ fixture->prod, bad[i][0], bad[i][1], 0 },
                        VIR_ERR_INVALID_ARG, "invalid argument: ");
    }
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPUS,
                    &(CorralWireVcpusArgs){ fixture->idle, 1, 1 }, VIR_ERR_OPERATION_INVALID,
                    "domain is not running");
}

static void
assert_count (Fixture *fixture, const CorralWireDomain *dom, guint flags, int expected)
{
    CorralWireInt count = { -1 };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPUS_FLAGS,
                 &(CorralWireDomFlags){ *dom, flags }, &count);
    g_assert_cmpint (count.value, ==, expected);
}

static void
test_vcpu_counts (Fixture *fixture, gconstpointer data)
{
    assert_count (fixture, &fixture->prod, 0, 4);
    assert_count (fixture, &fixture->prod, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_VCPU_MAXIMUM, 4);
    assert_count (fixture, &fixture->prod, VIR_DOMAIN_AFFECT_CONFIG, 0);
    assert_count (fixture, &fixture->idle, 0, 0);
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPUS_FLAGS,
                    &(CorralWireDomFlags){ fixture->idle, VIR_DOMAIN_AFFECT_LIVE },
                    VIR_ERR_OPERATION_INVALID, "domain is not running");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPUS_FLAGS,
                    &(CorralWireDomFlags){ fixture->prod,
                                           VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG },
                    VIR_ERR_INVALID_ARG, "mutually exclusive");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPUS_FLAGS,
                    &(CorralWireDomFlags){ fixture->prod, VIR_DOMAIN_VCPU_GUEST },
                    VIR_ERR_OPERATION_UNSUPPORTED, "guest agent");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_MAX_VCPUS,
                    &(CorralWireDom){ fixture->idle }, VIR_ERR_OPERATION_INVALID,
                    "domain is not running");
}

static int
pin (Fixture *fixture, const CorralWireDomain *dom, guint vcpu, guint8 map, guint flags)
{
    CorralWirePinVcpuFlagsArgs args = { .dom = *dom, .vcpu = vcpu, .flags = flags };

    args.cpumap.cpumap_len = 1;
    args.cpumap.cpumap_val = (char *) &map;
    return wire_call (fixture->client, CORRAL_PROC_DOMAIN_PIN_VCPU_FLAGS, &args, NULL);
}

static void
test_pins (Fixture *fixture, gconstpointer data)
{
    CorralWireVcpuPinInfoRet pins = { 0 };

    g_assert_cmpint (pin (fixture, &fixture->prod, 3, 0x05, 0), ==, 0);
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPU_PIN_INFO,
                 &(CorralWireVcpuPinInfoArgs){ fixture->prod, 4, 1, 0 }, &pins);
    g_assert_cmpint (pins.num, ==, 4);
    g_assert_cmpint (pins.cpumaps.cpumaps_val[2], ==, 0x0f);
    g_assert_cmpint (pins.cpumaps.cpumaps_val[3], ==, 0x05);
    wire_free (CORRAL_PROC_DOMAIN_GET_VCPU_PIN_INFO, &pins);
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_VCPU_PIN_INFO,
                 &(CorralWireVcpuPinInfoArgs){ fixture->prod, 4, 1, VIR_DOMAIN_AFFECT_CONFIG },
                 &pins);
    g_assert_cmpint (pins.num, ==, 0);

    g_assert_cmpint (pin (fixture, &fixture->prod, 4, 0x01, 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (pin (fixture, &fixture->prod, G_MAXUINT, 0x01, 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (pin (fixture, &fixture->prod, 0, 0x00, 0), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (pin (fixture, &fixture->prod, 0, 0x01, 8), ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (pin (fixture, &fixture->prod, 0, 0x01, VIR_DOMAIN_AFFECT_CONFIG), ==,
                     VIR_ERR_OPERATION_UNSUPPORTED);
    g_assert_cmpint (pin (fixture, &fixture->idle, 0, 0x01, VIR_DOMAIN_AFFECT_LIVE), ==,
                     VIR_ERR_OPERATION_INVALID);
}

/* emulatorpin is the container's own cpuset. */
static void
test_cpuset (Fixture *fixture, gconstpointer data)
{
    CorralWirePinEmulatorArgs args = { .dom = fixture->prod, .flags = VIR_DOMAIN_AFFECT_LIVE };
    CorralWireVcpuPinInfoRet pins = { 0 };
    char map = 0x03;

    args.cpumap.cpumap_len = 1;
    args.cpumap.cpumap_val = &map;
    assert_done (fixture->client, CORRAL_PROC_DOMAIN_PIN_EMULATOR, &args, NULL);
    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_EMULATOR_PIN_INFO,
                 &(CorralWireEmulatorPinInfoArgs){ fixture->prod, 1, 0 }, &pins);
    g_assert_cmpint (pins.num, ==, 1);
    g_assert_cmpint (pins.cpumaps.cpumaps_val[0], ==, 0x03);
    wire_free (CORRAL_PROC_DOMAIN_GET_EMULATOR_PIN_INFO, &pins);
    map = 0;
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_PIN_EMULATOR, &args, VIR_ERR_INVALID_ARG,
                    "Empty cpu list");
}

/* --- memory nodes --- */

static void
assert_nodes (Fixture *fixture, const CorralWireDomain *dom, guint flags, const char *nodes)
{
    CorralWireNumaRet numa = { { 0 } };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_NUMA_PARAMETERS,
                 &(CorralWireSchedulerFlagsArgs){ *dom, 2, flags }, &numa);
    g_assert_cmpint (numa.nparams, ==, 2);
    g_assert_cmpuint (numa.params.params_len, ==, 2);
    g_assert_cmpstr (numa.params.params_val[0].field, ==, VIR_DOMAIN_NUMA_MODE);
    g_assert_cmpint (numa.params.params_val[0].value.CorralWireValue_u.i, ==,
                     VIR_DOMAIN_NUMATUNE_MEM_STRICT);
    g_assert_cmpstr (numa.params.params_val[1].value.CorralWireValue_u.s, ==, nodes);
    wire_free (CORRAL_PROC_DOMAIN_GET_NUMA_PARAMETERS, &numa);
}

static void
test_nodes (Fixture *fixture, gconstpointer data)
{
    const int set = CORRAL_PROC_DOMAIN_SET_NUMA_PARAMETERS;
    CorralWireParam params[2] = { { (char *) VIR_DOMAIN_NUMA_NODESET, { 0 } },
                                  { (char *) VIR_DOMAIN_NUMA_MODE, { 0 } } };
    CorralWireSetNumaArgs args = { .dom = fixture->prod, .flags = VIR_DOMAIN_AFFECT_LIVE };
    CorralWireNumaRet numa = { { 0 } };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_NUMA_PARAMETERS,
                 &(CorralWireSchedulerFlagsArgs){ fixture->prod, 0, 0 }, &numa);
    g_assert_cmpint (numa.nparams, ==, 2);
    g_assert_cmpuint (numa.params.params_len, ==, 0);
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_NUMA_PARAMETERS,
                    &(CorralWireSchedulerFlagsArgs){ fixture->prod, 17, 0 }, VIR_ERR_INVALID_ARG,
                    "room for 17 parameters");
    assert_nodes (fixture, &fixture->prod, VIR_DOMAIN_AFFECT_LIVE, "0-1");

    params[0].value.type = CORRAL_WIRE_PARAM_STRING;
    params[0].value.CorralWireValue_u.s = (char *) "1";
    params[1].value.type = CORRAL_WIRE_PARAM_INT;
    params[1].value.CorralWireValue_u.i = VIR_DOMAIN_NUMATUNE_MEM_STRICT;
    args.params.params_val = params;
    args.params.params_len = 2;
    assert_done (fixture->client, set, &args, NULL);
    assert_nodes (fixture, &fixture->prod, VIR_DOMAIN_AFFECT_LIVE, "1");
    assert_nodes (fixture, &fixture->prod, VIR_DOMAIN_AFFECT_CONFIG, "0-1");
    params[1].value.CorralWireValue_u.i = VIR_DOMAIN_NUMATUNE_MEM_INTERLEAVE;
    assert_refused (fixture->client, set, &args, VIR_ERR_CONFIG_UNSUPPORTED, "'strict'");
    args.params.params_len = 1;
    params[0].value.CorralWireValue_u.s = (char *) "";
    assert_refused (fixture->client, set, &args, VIR_ERR_INVALID_ARG, "Empty node list");
    params[0].value.CorralWireValue_u.s = (char *) "x";
    assert_refused (fixture->client, set, &args, VIR_ERR_INVALID_ARG, "x");
    params[0].value.CorralWireValue_u.s = (char *) "0";
    params[0].field = (char *) "numa_none";
    assert_refused (fixture->client, set, &args, VIR_ERR_INVALID_ARG, "'numa_none'");
    assert_nodes (fixture, &fixture->prod, VIR_DOMAIN_AFFECT_LIVE, "1");
    args.dom = fixture->idle;
    assert_refused (fixture->client, set, &args, VIR_ERR_OPERATION_INVALID, "");
}

/* --- weight and cap --- */

/* One parameter, by name, as an llong. */
static int
set_tune (Fixture *fixture, const CorralWireDomain *dom, guint flags, int n_params, ...)
{
    CorralWireSetSchedulerFlagsArgs args = { .dom = *dom, .flags = flags };
    CorralWireParam params[4] = { 0 };
    va_list list;

    va_start (list, n_params);
    for (int i = 0; i < n_params; i++) {
        params[i].field = va_arg (list, char *);
        params[i].value.type = CORRAL_WIRE_PARAM_LLONG;
        params[i].value.CorralWireValue_u.l = va_arg (list, gint64);
    }
    va_end (list);
    args.params.params_len = (guint) n_params;
    args.params.params_val = params;
    return wire_call (fixture->client, CORRAL_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS, &args,
                      NULL);
}

static void
assert_tune (Fixture *fixture, guint flags, const char *name, gint64 expected)
{
    CorralWireSchedulerRet ret = { 0 };
    const CorralWireParam *param;
    g_autoptr (GError) error = NULL;
    gint64 value;

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS,
                 &(CorralWireSchedulerFlagsArgs){ fixture->prod, 16, flags }, &ret);
    param = corral_rpc_params_find (ret.params.params_val, ret.params.params_len, name);
    g_assert_nonnull (param);
    g_assert_true (corral_rpc_param_get_int64 (param, &value, &error));
    g_assert_cmpint (value, ==, expected);
    wire_free (CORRAL_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS, &ret);
}

#define L(value) G_GINT64_CONSTANT (value)

static void
test_tune (Fixture *fixture, gconstpointer data)
{
    const guint live = VIR_DOMAIN_AFFECT_LIVE, config = VIR_DOMAIN_AFFECT_CONFIG;

    assert_tune (fixture, 0, "global_quota", -1);
    g_assert_cmpint (set_tune (fixture, &fixture->prod, live, 2, "vcpu_quota", L (50000),
                               "cpu_shares", L (7)),
                     ==, 0);
    /* One cap, two names. */
    assert_tune (fixture, live | VIR_TYPED_PARAM_STRING_OKAY, "vcpu_quota", 50000);
    assert_tune (fixture, live, "global_quota", 50000);
    assert_tune (fixture, live, "cpu_shares", 7);
    assert_tune (fixture, config, "cpu_shares", 1024);
    g_assert_cmpint (set_tune (fixture, &fixture->prod, live | config, 2, "global_period",
                               L (20000), "vcpu_period", L (20000)),
                     ==, 0);
    assert_tune (fixture, config, "vcpu_period", 20000);
    g_assert_cmpint (set_tune (fixture, &fixture->prod, 0, 1, "global_quota", L (-1)), ==, 0);
    assert_tune (fixture, 0, "vcpu_quota", -1);
    g_assert_cmpint (set_tune (fixture, &fixture->prod, 0, 1, "corral.burst", L (5)), ==, 0);
    assert_tune (fixture, 0, "corral.burst", 5);
}

static void
test_tune_refused (Fixture *fixture, gconstpointer data)
{
    static const struct {
        const char *name;
        gint64 value;
    } bad[] = {
        { "cpu_shares", 1 },        { "cpu_shares", 262145 },     { "vcpu_period", 999 },
        { "vcpu_period", 1000001 }, { "vcpu_quota", 999 },        { "global_quota", G_MAXINT64 },
        { "corral.burst", -1 },     { "emulator_quota", 100000 }, { "", 1 },
    };
    guint changes = scripted_agent_count_changes (fixture->agent);
    CorralWireSetSchedulerArgs text = { .dom = fixture->prod };
    CorralWireParam param = { .field = (char *) "cpu_shares" };

    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
        g_assert_cmpint (set_tune (fixture, &fixture->prod, 0, 1, bad[i].name, bad[i].value), ==,
                         VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set_tune (fixture, &fixture->prod, 0, 2, "vcpu_quota", L (30000),
                               "global_quota", L (40000)),
                     ==, VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set_tune (fixture, &fixture->prod, 16, 1, "cpu_shares", L (50)), ==,
                     VIR_ERR_INVALID_ARG);
    g_assert_cmpint (set_tune (fixture, &fixture->idle, 1, 1, "cpu_shares", L (50)), ==,
                     VIR_ERR_OPERATION_INVALID);
    g_assert_cmpint (set_tune (fixture, &fixture->brief, 2, 1, "cpu_shares", L (50)), ==,
                     VIR_ERR_OPERATION_INVALID);
    param.value.type = CORRAL_WIRE_PARAM_STRING;
    param.value.CorralWireValue_u.s = (char *) "50";
    text.params.params_len = 1;
    text.params.params_val = &param;
    assert_refused (fixture->client, CORRAL_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS, &text,
                    VIR_ERR_INVALID_ARG, "invalid argument: ");
    g_assert_cmpuint (scripted_agent_count_changes (fixture->agent), ==, changes);
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS,
                    &(CorralWireSchedulerFlagsArgs){ fixture->prod, 16, 3 }, VIR_ERR_INVALID_ARG,
                    "mutually exclusive");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS,
                    &(CorralWireSchedulerArgs){ fixture->prod, 17 }, VIR_ERR_INVALID_ARG,
                    "room for 17 parameters");
}

/* The type says how many parameters there are, and a client with less room gets no more than that.
 * */
static void
test_tune_room (Fixture *fixture, gconstpointer data)
{
    CorralWireSchedulerTypeRet type = { 0 };
    CorralWireSchedulerRet ret = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_SCHEDULER_TYPE,
                 &(CorralWireDom){ fixture->prod }, &type);
    g_assert_cmpstr (type.type, ==, "posix");
    for (int room = 0; room <= type.nparams + 1; room++) {
        assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS,
                     &(CorralWireSchedulerArgs){ fixture->prod, room }, &ret);
        g_assert_cmpint (ret.params.params_len, ==, MIN (room, type.nparams));
        wire_free (CORRAL_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS, &ret);
    }
    wire_free (CORRAL_PROC_DOMAIN_GET_SCHEDULER_TYPE, &type);
}

/* --- cpu-stats --- */

static guint
present_cpus (Fixture *fixture)
{
    CorralWireNodeCpuMapRet map = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_NODE_GET_CPU_MAP,
                 &(CorralWireNodeCpuMapArgs){ 1, 1, 0 }, &map);
    g_assert_cmpint (map.ret, >, 0);
    g_assert_cmpuint (map.online, >, 0);
    g_assert_cmpuint (map.online, <=, map.ret);
    g_assert_cmpint (map.cpumap.cpumap_len, ==, (map.ret + 7) / 8);
    g_free (map.cpumap.cpumap_val);
    return (guint) map.ret;
}

static void
ask_cpu_stats (Fixture *fixture, guint nparams, int start, guint ncpus, int expect_nparams,
               guint expect_len)
{
    CorralWireCpuStatsRet ret = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_DOMAIN_GET_CPU_STATS,
                 &(CorralWireCpuStatsArgs){ fixture->prod, nparams, start, ncpus,
                                            VIR_TYPED_PARAM_STRING_OKAY },
                 &ret);
    g_assert_cmpint (ret.nparams, ==, expect_nparams);
    g_assert_cmpuint (ret.params.params_len, ==, expect_len);
    if (expect_len > 0 && start >= 0)
        g_assert_cmpuint (ret.params.params_val[0].value.CorralWireValue_u.ul, ==,
                          100 + (guint) start);
    wire_free (CORRAL_PROC_DOMAIN_GET_CPU_STATS, &ret);
}

static void
test_cpu_stats (Fixture *fixture, gconstpointer data)
{
    guint cpus = present_cpus (fixture);

    ask_cpu_stats (fixture, 0, -1, 1, 3, 0);
    ask_cpu_stats (fixture, 3, -1, 1, 3, 3);
    ask_cpu_stats (fixture, 2, -1, 1, 2, 2);
    ask_cpu_stats (fixture, 0, 0, 0, (int) cpus, 0);
    ask_cpu_stats (fixture, 0, 0, 1, 1, 0);
    ask_cpu_stats (fixture, 1, 0, 1, 1, 1);
    ask_cpu_stats (fixture, 1, 0, 128, 1, MIN (cpus, 128));
    ask_cpu_stats (fixture, 1, (int) cpus - 1, 128, 1, 1);
    /* Where it would start does not matter to who asks for a number of them. */
    ask_cpu_stats (fixture, 0, (int) cpus + 1, 0, (int) cpus, 0);
    ask_cpu_stats (fixture, 0, (int) cpus + 1, 1, 1, 0);
    for (int past = 0; past < 2; past++)
        assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_CPU_STATS,
                        &(CorralWireCpuStatsArgs){ fixture->prod, 1, (int) cpus + past, 1, 0 },
                        VIR_ERR_INVALID_ARG, "larger than maximum");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_CPU_STATS,
                    &(CorralWireCpuStatsArgs){ fixture->prod, 0, -2, 0, 0 }, VIR_ERR_INVALID_ARG,
                    "start_cpu -2");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_CPU_STATS,
                    &(CorralWireCpuStatsArgs){ fixture->prod, 1, -2, 1, 0 }, VIR_ERR_INVALID_ARG,
                    "start_cpu -2");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_CPU_STATS,
                    &(CorralWireCpuStatsArgs){ fixture->prod, 1, 0, 129, 0 }, VIR_ERR_INVALID_ARG,
                    "ncpus 129");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_CPU_STATS,
                    &(CorralWireCpuStatsArgs){ fixture->prod, 3, -1, 2, 0 }, VIR_ERR_INVALID_ARG,
                    "must be 1");
    assert_refused (fixture->reader, CORRAL_PROC_DOMAIN_GET_CPU_STATS,
                    &(CorralWireCpuStatsArgs){ fixture->idle, 3, -1, 1, 0 },
                    VIR_ERR_OPERATION_INVALID, "domain is not running");
}

/* --- domstats --- */

static guint64
number (const CorralWireStatsRecord *record, const char *name)
{
    const CorralWireParam *param =
        corral_rpc_params_find (record->params.params_val, record->params.params_len, name);
    g_autoptr (GError) error = NULL;
    guint64 value = 0;

    if (param == NULL)
        g_error ("%s is not there", name);
    g_assert_true (corral_rpc_param_get_uint64 (param, &value, &error));
    return value;
}

static gboolean
has (const CorralWireStatsRecord *record, const char *name)
{
    return corral_rpc_params_find (record->params.params_val, record->params.params_len, name) !=
           NULL;
}

static void
ask_stats (Fixture *fixture, CorralWireDomain *doms, guint n_doms, guint stats, guint flags,
           CorralWireAllStatsRet *ret_all)
{
    CorralWireAllStatsArgs args = { .stats = stats, .flags = flags };

    args.doms.doms_len = n_doms;
    args.doms.doms_val = doms;
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, &args, ret_all);
}

static void
test_stats (Fixture *fixture, gconstpointer data)
{
    const guint all = CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS;
    CorralWireAllStatsRet ret = { 0 };
    const CorralWireStatsRecord *prod, *idle;

    ask_stats (fixture, NULL, 0, 0, 0, &ret);
    g_assert_cmpuint (ret.records.records_len, ==, 3);
    idle = &ret.records.records_val[1];
    prod = &ret.records.records_val[2];
    g_assert_cmpuint (number (prod, "state.state"), ==, VIR_DOMAIN_RUNNING);
    g_assert_cmpuint (number (prod, "cpu.time"), ==, 5000);
    g_assert_cmpuint (number (prod, "cpu.user"), ==, 3000);
    g_assert_cmpuint (number (prod, "cpu.system"), ==, 2000);
    g_assert_cmpuint (number (prod, "corral.guest_ns"), ==, 2500);
    g_assert_cmpuint (number (prod, "corral.host_ns"), ==, 1500);
    g_assert_cmpuint (number (prod, "corral.emulator_ns"), ==, 1000);
    g_assert_cmpuint (number (prod, "corral.wait_ns"), ==, 70);
    g_assert_cmpuint (number (prod, "corral.throttled_ns"), ==, 9);
    g_assert_cmpuint (number (prod, "corral.vms"), ==, 2);
    g_assert_cmpuint (number (prod, "corral.vcpus"), ==, 4);
    g_assert_true (has (prod, "corral.source"));
    /* Only the kernel's kvm subsystem counts exits. */
    g_assert_false (has (prod, "corral.exits"));
    g_assert_cmpuint (number (prod, "vcpu.current"), ==, 4);
    g_assert_cmpuint (number (prod, "vcpu.maximum"), ==, 4);
    g_assert_cmpuint (number (prod, "vcpu.3.time"), ==, 1003);
    g_assert_cmpuint (number (prod, "vcpu.3.wait"), ==, 53);
    g_assert_cmpuint (number (prod, "vcpu.3.delay"), ==, 63);
    g_assert_cmpuint (number (prod, "vcpu.3.state"), ==, VIR_VCPU_BLOCKED);
    g_assert_false (has (prod, "vcpu.4.time"));
    g_assert_cmpuint (number (idle, "state.state"), ==, VIR_DOMAIN_SHUTOFF);
    g_assert_false (has (idle, "cpu.time"));
    wire_free (all, &ret);
}

static void
test_stats_chosen (Fixture *fixture, gconstpointer data)
{
    const guint all = CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS;
    CorralWireDomain doms[3] = { fixture->prod, fixture->prod, fixture->idle };
    CorralWireAllStatsRet ret = { 0 };

    ask_stats (fixture, NULL, 0, VIR_DOMAIN_STATS_STATE, VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE,
               &ret);
    g_assert_cmpuint (ret.records.records_len, ==, 1);
    g_assert_cmpstr (ret.records.records_val[0].dom.name, ==, "idle");
    wire_free (all, &ret);

    /* One that is gone is left out, as in libvirt. */
    memset (doms[1].uuid, 0x77, sizeof doms[1].uuid);
    ask_stats (fixture, doms, 3, VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BLOCK,
               VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT, &ret);
    g_assert_cmpuint (ret.records.records_len, ==, 2);
    g_assert_true (has (&ret.records.records_val[0], "cpu.time"));
    g_assert_false (has (&ret.records.records_val[0], "state.state"));
    g_assert_false (has (&ret.records.records_val[0], "vcpu.current"));
    wire_free (all, &ret);

    assert_refused (fixture->reader, all,
                    &(CorralWireAllStatsArgs){
                        .stats = VIR_DOMAIN_STATS_BLOCK,
                        .flags = (guint) VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS },
                    VIR_ERR_ARGUMENT_UNSUPPORTED, "Stats types bits 0x20 are not supported");
    assert_refused (fixture->reader, all, &(CorralWireAllStatsArgs){ .flags = 1 << 20 },
                    VIR_ERR_INVALID_ARG, "unsupported flags");
}

/* --- the host --- */

static void
test_node (Fixture *fixture, gconstpointer data)
{
    CorralWireNodeInfoRet info = { 0 };
    CorralWireNodeStatsRet stats = { 0 };
    CorralWireCellsFreeMemoryRet cells = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_NODE_GET_INFO, NULL, &info);
    g_assert_cmpint (info.nodes * info.sockets * info.cores * info.threads, ==, info.cpus);
    assert_done (fixture->reader, CORRAL_PROC_NODE_GET_CPU_STATS,
                 &(CorralWireNodeCpuStatsArgs){ -1, 0, 0 }, &stats);
    g_assert_cmpint (stats.nparams, ==, 4);
    g_assert_cmpuint (stats.params.params_len, ==, 0);
    assert_done (fixture->reader, CORRAL_PROC_NODE_GET_CPU_STATS,
                 &(CorralWireNodeCpuStatsArgs){ 0, 4, 0 }, &stats);
    g_assert_cmpuint (stats.params.params_len, ==, 4);
    wire_free (CORRAL_PROC_NODE_GET_CPU_STATS, &stats);
    assert_refused (fixture->reader, CORRAL_PROC_NODE_GET_CPU_STATS,
                    &(CorralWireNodeCpuStatsArgs){ 100000, 0, 0 }, VIR_ERR_INVALID_ARG, "pCPU");
    assert_refused (fixture->reader, CORRAL_PROC_NODE_GET_CPU_STATS,
                    &(CorralWireNodeCpuStatsArgs){ -2, 0, 0 }, VIR_ERR_INVALID_ARG, "pCPU -2");
    assert_refused (fixture->reader, CORRAL_PROC_NODE_GET_CPU_STATS,
                    &(CorralWireNodeCpuStatsArgs){ -1, 17, 0 }, VIR_ERR_INVALID_ARG, "nparams");
    assert_done (fixture->reader, CORRAL_PROC_NODE_GET_CELLS_FREE_MEMORY,
                 &(CorralWireCellsFreeMemoryArgs){ 0, 1024 }, &cells);
    g_assert_cmpuint (cells.cells.cells_len, >, 0);
    g_assert_cmpuint (cells.cells.cells_val[0], >, 0);
    wire_free (CORRAL_PROC_NODE_GET_CELLS_FREE_MEMORY, &cells);
    assert_refused (fixture->reader, CORRAL_PROC_NODE_GET_CELLS_FREE_MEMORY,
                    &(CorralWireCellsFreeMemoryArgs){ -1, 1 }, VIR_ERR_INVALID_ARG,
                    "start cell -1");
    assert_refused (fixture->reader, CORRAL_PROC_NODE_GET_CELLS_FREE_MEMORY,
                    &(CorralWireCellsFreeMemoryArgs){ 0, 0 }, VIR_ERR_INVALID_ARG, "0 cells");
    assert_refused (fixture->reader, CORRAL_PROC_NODE_GET_CELLS_FREE_MEMORY,
                    &(CorralWireCellsFreeMemoryArgs){ 0, G_MAXINT }, VIR_ERR_INVALID_ARG, "cells");
}

static void
test_connection (Fixture *fixture, gconstpointer data)
{
    char *kvm = (char *) "kvm", *corral = (char *) "corral";
    CorralWireText text = { 0 };
    CorralWireInt value = { 0 };
    CorralWireHyper hyper = { 0 };

    assert_done (fixture->reader, CORRAL_PROC_CONNECT_GET_URI, NULL, &text);
    g_assert_cmpstr (text.text, ==, "corral:///system");
    wire_free (CORRAL_PROC_CONNECT_GET_URI, &text);
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_GET_TYPE, NULL, &text);
    g_assert_cmpstr (text.text, ==, "Corral");
    wire_free (CORRAL_PROC_CONNECT_GET_TYPE, &text);
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_GET_VERSION, NULL, &hyper);
    g_assert_cmpuint (hyper.value, >=, 1000);
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_GET_MAX_VCPUS, &(CorralWireOptText){ NULL },
                 &value);
    g_assert_cmpint (value.value, ==, 6);
    assert_done (fixture->reader, CORRAL_PROC_CONNECT_GET_MAX_VCPUS,
                 &(CorralWireOptText){ &corral }, NULL);
    assert_refused (fixture->reader, CORRAL_PROC_CONNECT_GET_MAX_VCPUS,
                    &(CorralWireOptText){ &kvm }, VIR_ERR_INVALID_ARG, "unknown type 'kvm'");
    assert_refused (fixture->client, CORRAL_PROC_CONNECT_GET_DOMAIN_CAPABILITIES,
                    &(CorralWireDomainCapabilitiesArgs){ .machine = &kvm }, VIR_ERR_INVALID_ARG,
                    "machine type");
    assert_refused (fixture->client, CORRAL_PROC_CONNECT_GET_DOMAIN_CAPABILITIES,
                    &(CorralWireDomainCapabilitiesArgs){ .arch = &kvm }, VIR_ERR_INVALID_ARG,
                    "unknown architecture");
    assert_done (fixture->client, CORRAL_PROC_CONNECT_GET_DOMAIN_CAPABILITIES,
                 &(CorralWireDomainCapabilitiesArgs){ .virttype = &corral }, NULL);
    assert_refused (fixture->reader, CORRAL_PROC_CONNECT_GET_SYSINFO, &(CorralWireUint){ 1 },
                    VIR_ERR_INVALID_ARG, "unsupported flags (0x1)");
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    ADD ("vcpu/list", test_vcpus);
    ADD ("vcpu/bounds", test_vcpu_bounds);
    ADD ("vcpu/counts", test_vcpu_counts);
    ADD ("vcpu/pins", test_pins);
    ADD ("vcpu/cpuset", test_cpuset);
    ADD ("vcpu/nodes", test_nodes);
    ADD ("sched/set", test_tune);
    ADD ("sched/refused", test_tune_refused);
    ADD ("sched/room", test_tune_room);
    ADD ("stats/cpu", test_cpu_stats);
    ADD ("stats/all", test_stats);
    ADD ("stats/chosen", test_stats_chosen);
    ADD ("node", test_node);
    ADD ("connection", test_connection);
    return g_test_run ();
}
