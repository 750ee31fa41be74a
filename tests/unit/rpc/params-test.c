/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Typed parameters, optional strings and domains. */
#include "corral-rpc-params.h"

#define FREE(type, value) xdr_free ((xdrproc_t) (void (*) (void)) xdr_##type, value)

static void
test_build_and_read (void)
{
    CorralRpcParams *params = corral_rpc_params_new ();
    CorralWireSchedulerRet ret = { .params = { 0, NULL } };
    const CorralWireParam *all;
    const char *text;
    gint64 value;

    corral_rpc_params_add_int (params, "int", -5);
    corral_rpc_params_add_uint (params, "uint", 4000000000u);
    corral_rpc_params_add_llong (params, "llong", G_MININT64);
    corral_rpc_params_add_ullong (params, "ullong", G_MAXUINT64);
    corral_rpc_params_add_double (params, "double", 0.5);
    corral_rpc_params_add_boolean (params, "boolean", 8);
    corral_rpc_params_add_string (params, "string", "text");
    g_assert_cmpuint (corral_rpc_params_get_length (params), ==, 7);
    ret.params.params_val = corral_rpc_params_steal (params, &ret.params.params_len);
    all = ret.params.params_val;
    g_assert_cmpuint (ret.params.params_len, ==, 7);

    g_assert_null (corral_rpc_params_find (all, 7, "in"));
    g_assert_null (corral_rpc_params_find (all, 6, "string"));
    g_assert_true (corral_rpc_param_get_int64 (corral_rpc_params_find (all, 7, "int"), &value,
                                               NULL));
    g_assert_cmpint (value, ==, -5);
    g_assert_true (corral_rpc_param_get_int64 (corral_rpc_params_find (all, 7, "uint"), &value,
                                               NULL));
    g_assert_cmpint (value, ==, 4000000000);
    g_assert_true (corral_rpc_param_get_int64 (corral_rpc_params_find (all, 7, "llong"), &value,
                                               NULL));
    g_assert_cmpint (value, ==, G_MININT64);
    g_assert_cmpfloat (corral_rpc_params_find (all, 7, "double")->value.CorralWireValue_u.d, ==,
                       0.5);
    g_assert_cmpint (corral_rpc_params_find (all, 7, "boolean")->value.CorralWireValue_u.b, ==, 1);
    g_assert_true (corral_rpc_param_get_string (corral_rpc_params_find (all, 7, "string"), &text,
                                                NULL));
    g_assert_cmpstr (text, ==, "text");
    FREE (CorralWireSchedulerRet, &ret);
}

static void
test_wrong_types (void)
{
    CorralWireParam big = { (char *) "big", { 4, { .ul = G_MAXUINT64 } } };
    CorralWireParam negative = { (char *) "negative", { 3, { .l = -1 } } };
    CorralWireParam text = { (char *) "text", { 7, { .s = (char *) "12" } } };
    CorralWireParam flag = { (char *) "flag\xff", { 6, { .b = 1 } } };
    g_autoptr (GError) error = NULL;
    const char *string;
    guint64 u;
    gint64 i;

    g_assert_true (corral_rpc_param_get_uint64 (&big, &u, NULL));
    g_assert_cmpuint (u, ==, G_MAXUINT64);
    g_assert_false (corral_rpc_param_get_int64 (&big, &i, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_rpc_param_get_uint64 (&negative, &u, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_rpc_param_get_uint64 (&text, &u, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_rpc_param_get_string (&flag, &string, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
}

/* A list that is given up half way leaks nothing (the sanitizer looks). */
static void
test_given_up (void)
{
    g_autoptr (CorralRpcParams) params = corral_rpc_params_new ();
    guint length;

    corral_rpc_params_add_string (params, "a", "b");
    g_assert_null (corral_rpc_params_steal (corral_rpc_params_new (), &length));
    g_assert_cmpuint (length, ==, 0);
}

static void
test_strings (void)
{
    CorralWireOptText text = { corral_rpc_opt_string_new ("text") };
    CorralWireDom dom;

    g_assert_cmpstr (corral_rpc_opt_string (text.text), ==, "text");
    FREE (CorralWireOptText, &text);
    g_assert_null (corral_rpc_opt_string_new (NULL));
    g_assert_null (corral_rpc_opt_string (NULL));
    corral_rpc_domain_set (&dom.dom, "web", (const guint8 *) "0123456789abcdef", -1);
    g_assert_cmpstr (dom.dom.name, ==, "web");
    g_assert_cmpmem (dom.dom.uuid, 16, "0123456789abcdef", 16);
    g_assert_cmpint (dom.dom.id, ==, -1);
    FREE (CorralWireDom, &dom);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/rpc/params/build-and-read", test_build_and_read);
    g_test_add_func ("/rpc/params/wrong-types", test_wrong_types);
    g_test_add_func ("/rpc/params/given-up", test_given_up);
    g_test_add_func ("/rpc/params/strings", test_strings);
    return g_test_run ();
}
