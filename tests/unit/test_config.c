/* leat.yaml: what is taken, with which defaults; that every mistake gives one error with its place and the nearest key;
 * and that the reference and the template are what the parser takes. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/internal.h"
#include "config_text.h"

static const char contract[] = "migration: shop-2026\n"
                               "\n"
                               "stores:\n"
                               "  orders:\n"
                               "    engine: postgresql\n"
                               "    source: postgresql://leat@old-db:5432/orders      # a comment\n"
                               "    target: postgresql://leat@new-db:5432/orders\n"
                               "    door: 0.0.0.0:6432\n"
                               "    include: [\"public.*\", \"billing.*\"]\n"
                               "    reads: { share: [0%, 10%, 50%, 100%], hold: 5m }\n"
                               "\n"
                               "services:\n"
                               "  web:\n"
                               "    door: 0.0.0.0:8080\n"
                               "    source: [10.0.0.11:8080, 10.0.0.12:8080]\n"
                               "    target: [10.1.0.11:8080, 10.1.0.12:8080]\n"
                               "    user: cookie:uid\n"
                               "    share: [1%, 5%, 25%, 50%, 100%]\n"
                               "    hold: 10m\n"
                               "    mirror: 5%\n"
                               "\n"
                               "build:\n"
                               "  driver: ansible\n"
                               "  path: ./landing-zone\n"
                               "\n"
                               "gates:\n"
                               "  lag: 2s\n"
                               "  pause: 100ms\n"
                               "  rehearsals: 5\n"
                               "  observe: 1d\n"
                               "  errors: { margin: 0.1%, confidence: 99% }\n"
                               "  latency_p99: { margin: 20%, confidence: 99% }\n"
                               "  approvals: { cutover: 1, decommission: 2 }\n"
                               "\n"
                               "limits:\n"
                               "  source_wal: 10GB\n"
                               "  snapshot_age: 20m\n"
                               "  copy_workers: 8\n"
                               "  apply_lanes: 6\n"
                               "\n"
                               "notify:\n"
                               "  webhook: https://hooks.example.org/T000\n";

/* --- what is taken --- */

static void test_contract(void **state)
{
    AUTO(config) *c = parse(contract);
    const struct config_store *s = config_store_find(c, "orders");

    (void)state;
    assert_string_equal(c->migration, "shop-2026");
    assert_string_equal(c->path, "leat.yaml");
    assert_int_equal(c->store_count, 1);
    assert_ptr_equal(s, &c->stores[0]);
    assert_null(config_store_find(c, "order"));
    assert_string_equal(s->source, "postgresql://leat@old-db:5432/orders");
    assert_string_equal(s->target, "postgresql://leat@new-db:5432/orders");
    assert_int_equal(s->door_count, 1);
    assert_string_equal(s->door[0], "0.0.0.0:6432");
    assert_int_equal(s->include_count, 2);
    assert_string_equal(s->include[1], "billing.*");
    assert_true(c->limits.source_wal == 10LL << 30);
    assert_true(c->limits.snapshot_age_us == 20 * 60 * 1000000LL);
    assert_int_equal(c->limits.copy_workers, 8);
    assert_int_equal(c->limits.apply_lanes, 6);
    assert_true(c->gates.lag_us == 2000000 && c->gates.pause_us == 100000 && c->gates.observe_us == 86400LL * 1000000);
    assert_int_equal(c->gates.rehearsals, 5);
}

static void test_values_are_kept(void **state)
{
    AUTO(config) *c = parse(contract);
    const struct config_value *share = config_value(c, "services.web.share");
    const struct config_value *margin = config_value(c, "gates.errors.margin");

    (void)state;
    assert_non_null(share);
    assert_int_equal(share->count, 5);
    assert_string_equal(share->items[4], "100%");
    assert_int_equal(share->line, 18);
    assert_int_equal(share->column, 12);
    assert_non_null(margin);
    assert_string_equal(margin->items[0], "0.1%");
    assert_string_equal(config_value(c, "notify.webhook")->items[0], "https://hooks.example.org/T000");
    assert_string_equal(config_value(c, "limits.spool")->items[0], "20GB");
    assert_int_equal(config_value(c, "limits.spool")->line, 0);
    assert_null(config_value(c, "services.web"));
    assert_null(config_value(c, "stores.orders.nothing"));
}

static void test_defaults(void **state)
{
    AUTO(config) *c = parse(HEAD "limits:\ngates: ~\n");
    const struct config_store *s = &c->stores[0];

    (void)state;
    assert_string_equal(s->name, "orders");
    assert_string_equal(s->engine, "postgresql");
    assert_int_equal(s->door_count, 0);
    assert_int_equal(s->door_unmovable, UNMOVABLE_WAIT);
    assert_int_equal(s->include_count + s->exclude_count, 0);
    assert_int_equal(s->ddl, DDL_STOP);
    assert_true(c->limits.source_wal == 20LL << 30 && c->limits.spool == 20LL << 30);
    assert_true(c->limits.snapshot_age_us == 30 * 60 * 1000000LL && c->limits.source_lag_us == 0);
    assert_int_equal(c->limits.copy_workers, 4);
    assert_int_equal(c->limits.verify_workers, 1);
    assert_int_equal(c->limits.index_workers, 2);
    assert_int_equal(c->limits.apply_lanes, 4);
    assert_true(c->gates.lag_us == 1000000 && c->gates.pause_us == 250000 &&
                c->gates.observe_us == 7 * 86400LL * 1000000);
    assert_int_equal(c->gates.rehearsals, 3);
}

static void test_several_stores(void **state)
{
    AUTO(config) *c = parse(
        HEAD
        "    ddl: apply\n    exclude: [public.big]\n"
        "  billing_2:\n    source: host=old dbname=billing\n    target: host=new dbname=billing\n    exclude: []\n");

    (void)state;
    assert_int_equal(c->store_count, 2);
    assert_int_equal(c->stores[0].ddl, DDL_APPLY);
    assert_string_equal(c->stores[0].exclude[0], "public.big");
    assert_string_equal(c->stores[1].name, "billing_2");
    assert_int_equal(c->stores[1].ddl, DDL_STOP);
    assert_int_equal(c->stores[1].exclude_count, 0);
    assert_ptr_equal(config_store_find(c, "billing_2"), &c->stores[1]);
}

/* A byte order mark, Windows line ends, and no line end at the end are no mistakes. */
static void test_other_editors(void **state)
{
    AUTO(config) *c = parse("\xEF\xBB\xBFmigration: shop\r\nstores:\r\n  orders:\r\n    source: dbname=a host=x\r\n    "
                            "target: dbname=a host=y");

    (void)state;
    assert_string_equal(c->stores[0].target, "dbname=a host=y");
}

/* --- mistakes --- */

static void test_unknown_keys(void **state)
{
    static const struct mistake all[] = {
        {HEAD "    targt: x\n", "leat.yaml:6:5: unknown key \"targt\" in stores.orders; did you mean \"target\"?"},
        {HEAD "    ecxlude: x\n", "leat.yaml:6:5: unknown key \"ecxlude\" in stores.orders; did you mean \"exclude\"?"},
        {HEAD "limts:\n  spool: 1GB\n", "leat.yaml:6:1: unknown key \"limts\"; did you mean \"limits\"?"},
        {HEAD "limits: {Spool: 1GB}\n", "leat.yaml:6:10: unknown key \"Spool\" in limits; did you mean \"spool\"?"},
        {HEAD "copy_workers: 2\n", "leat.yaml:6:1: unknown key \"copy_workers\"; it belongs to limits"},
        {HEAD "gates: {limits: 2}\n",
         "leat.yaml:6:9: unknown key \"limits\" in gates; it belongs to the top of the file"},
        {HEAD "gates: {errors: {zzzzzzzz: 1}}\n",
         "leat.yaml:6:18: unknown key \"zzzzzzzz\" in gates.errors; there are: margin, confidence"},
        {HEAD "gates: {\"\\e[2Jx\": 1}\n", "leat.yaml:6:9: unknown key \"?[2Jx\" in gates; there are: lag, pause, "
                                           "rehearsals, observe, errors, latency_p99, approvals"},
        {HEAD "*: 1\n",
         "leat.yaml:6:1: aliases (*name) are not taken; a pattern that begins with * needs quotes: \"*.orders\""},
        {HEAD "\"*\": 1\n",
         "leat.yaml:6:1: unknown key \"*\"; there are: migration, stores, services, build, gates, limits, notify"},
    };

    (void)state;
    ASSERT_MISTAKES(all);
}

static void test_values_out_of_range(void **state)
{
    static const struct mistake all[] = {
        {HEAD "limits: {copy_workers: 65}\n", "leat.yaml:6:24: \"copy_workers\": \"65\" is out of range: from 1 to 64"},
        {HEAD "limits: {copy_workers: 0}\n", "leat.yaml:6:24: \"copy_workers\": \"0\" is out of range: from 1 to 64"},
        {HEAD "limits: {apply_lanes: 99999999999999999999999}\n",
         "leat.yaml:6:23: \"apply_lanes\": \"99999999999999999999999\" is out of range: from 1 to 64"},
        {HEAD "limits: {spool: 100kB}\n", "leat.yaml:6:17: \"spool\": \"100kB\" is out of range: from 1MB to 1024TB"},
        {HEAD "limits: {spool: 9999999999999999TB}\n",
         "leat.yaml:6:17: \"spool\": \"9999999999999999TB\" is out of range: from 1MB to 1024TB"},
        {HEAD "gates:\n  lag: 2h\n", "leat.yaml:7:8: \"lag\": \"2h\" is out of range: from 1ms to 1h"},
        {HEAD "gates: {errors: {margin: 1%, confidence: 49.9999%}}\n",
         "leat.yaml:6:42: \"confidence\": \"49.9999%\" is out of range: from 50% to 99.9999%"},
        {HEAD "    reads: {share: [10%, 10%]}\n",
         "leat.yaml:6:26: \"share\": each share must be larger than the one before"},
        {HEAD "    reads: {share: [10%, 100.1%]}\n",
         "leat.yaml:6:26: \"share\": \"100.1%\" is out of range: from 0% to 100%"},
    };

    (void)state;
    ASSERT_MISTAKES(all);
}

static void test_wrong_types(void **state)
{
    static const struct mistake all[] = {
        {HEAD "limits: [1]\n", "leat.yaml:6:9: \"limits\": expected keys, found a list"},
        {HEAD "limits:\n  spool:1GB\n",
         "leat.yaml:7:3: \"limits\": expected keys, found a single value; a blank belongs behind the colon of a key"},
        {HEAD "limits: {spool: [1GB]}\n", "leat.yaml:6:17: \"spool\": expected one value, found a list"},
        {HEAD "limits: {spool: {a: b}}\n", "leat.yaml:6:17: \"spool\": expected one value, found a group of keys"},
        {HEAD "limits: {spool: }\n", "leat.yaml:6:17: \"spool\" has no value"},
        {HEAD "limits: {spool: much}\n",
         "leat.yaml:6:17: \"spool\": expected a size such as 512MB or 20GB, not \"much\""},
        {HEAD "limits: {apply_lanes: -1}\n", "leat.yaml:6:23: \"apply_lanes\": expected a whole number, not \"-1\""},
        {HEAD "gates: {lag: 1}\n",
         "leat.yaml:6:14: \"lag\": expected a duration such as 250ms, 1s, 10m, 12h or 7d, not \"1\""},
        {HEAD "gates: {errors: {margin: 5}}\n",
         "leat.yaml:6:26: \"margin\": expected a percentage such as 5% or 0.1%, not \"5\""},
        {HEAD "    include: public.*\n", "leat.yaml:6:14: \"include\": expected a list of patterns: [one, two]"},
        {HEAD "    include: [[public.*]]\n", "leat.yaml:6:15: \"include\": expected one value, found a list"},
        {HEAD "    include: []\n",
         "leat.yaml:6:14: \"include\" is an empty list; name something, or leave the key out"},
        {HEAD "    include:\n", "leat.yaml:6:13: \"include\" has no value"},
        {HEAD "    ddl: aply\n", "leat.yaml:6:10: \"ddl\": \"aply\" is not one of stop|apply; did you mean \"apply\"?"},
        {HEAD "    ddl: no\n", "leat.yaml:6:10: \"ddl\": \"no\" is not one of stop|apply"},
        {HEAD "    door: 6432\n",
         "leat.yaml:6:11: \"door\": expected host:port such as 0.0.0.0:6432 or [::1]:6432, not \"6432\""},
        {HEAD "    door: a:65536\n",
         "leat.yaml:6:11: \"door\": expected host:port such as 0.0.0.0:6432 or [::1]:6432, not \"a:65536\""},
        {HEAD "notify: {webhook: hooks.example.org/secret}\n",
         "leat.yaml:6:19: \"webhook\": expected an address that begins with https:// or http://"},
        {HEAD "build: {driver: puppet, path: x}\n",
         "leat.yaml:6:17: \"driver\": \"puppet\" is not one of ansible|tofu|local"},
        {"shop\n", "leat.yaml:1:1: expected keys such as \"migration: name\", found a single value"},
        {"- shop\n", "leat.yaml:1:1: expected keys such as \"migration: name\", found a list"},
    };

    (void)state;
    ASSERT_MISTAKES(all);
}

static void test_missing_and_repeated(void **state)
{
    static const struct mistake all[] = {
        {"migration: shop\n", "leat.yaml:1:1: the required key \"stores\" is missing"},
        {"stores: {a: {source: dbname=a, target: dbname=b}}\n",
         "leat.yaml:1:1: the required key \"migration\" is missing"},
        {"migration: shop\nstores: {}\n", "leat.yaml:2:9: \"stores\" names none; there must be one at least"},
        {"migration: shop\nstores:\n  a:\n    source: dbname=a\n",
         "leat.yaml:3:3: \"stores.a\" lacks the required key \"target\""},
        {"migration: shop\nstores:\n  a:\n", "leat.yaml:3:3: \"stores.a\" lacks the required key \"source\""},
        {HEAD "gates: {errors: {margin: 1%}}\n",
         "leat.yaml:6:9: \"gates.errors\" lacks the required key \"confidence\""},
        {HEAD "migration: b\n", "leat.yaml:6:1: the key \"migration\" is there twice, first on line 1"},
        {HEAD "    target: dbname=c\n", "leat.yaml:6:5: the key \"target\" is there twice, first on line 5"},
        {HEAD "  orders:\n    source: dbname=a\n",
         "leat.yaml:6:3: the store \"orders\" is there twice, first on line 3"},
    };

    (void)state;
    ASSERT_MISTAKES(all);
}

static void test_names_and_engines(void **state)
{
    static const struct mistake all[] = {
        {"migration: Shop\n", "leat.yaml:1:12: \"migration\": \"Shop\" is not a name: a-z first, then a-z, 0-9, _ or "
                              "-, at most 32 characters"},
        {"migration: s\nstores:\n  1a: {}\n",
         "leat.yaml:3:3: \"1a\" cannot name a store: a-z first, then a-z, 0-9, _ or -, at most 32 characters"},
        {HEAD "  b: postgresql://u@h/d\n",
         "leat.yaml:6:6: \"b\": expected keys, found a single value; a blank belongs behind the colon of a key"},
        {HEAD "    engine: mysql\n",
         "leat.yaml:6:13: \"engine\": \"mysql\" is not supported; this release moves: postgresql"},
        {HEAD "    engine: postgres\n",
         "leat.yaml:6:13: \"engine\": \"postgres\" is not known; did you mean \"postgresql\"?"},
    };

    (void)state;
    ASSERT_MISTAKES(all);
    assert_true(config_name_ok("a") && config_name_ok("a234567890123456789012345678901z") && config_name_ok("a-b_c"));
    assert_false(config_name_ok("a23456789012345678901234567890123") || config_name_ok("") || config_name_ok("-a") ||
                 config_name_ok("a.b"));
}

static void test_not_yaml(void **state)
{
    static const struct mistake all[] = {
        {"", "leat.yaml: the file is empty"},
        {"# nothing\n\n", "leat.yaml: the file is empty"},
        {"---\n", "leat.yaml: the file is empty"},
        {"migration: m\nstores:\n\tone: x\n", "leat.yaml:3:1: a tab; YAML is indented with spaces only"},
        {"migration: m\nstores:\n  \tone: x\n", "leat.yaml:3:3: a tab; YAML is indented with spaces only"},
        {"migration: sh\xC3\xB6p\xFF\n", "leat.yaml:1:16: byte 0xFF is not UTF-8; save the file as UTF-8"},
        {"migration: \xC0\x80\n", "leat.yaml:1:12: byte 0xC0 is not UTF-8; save the file as UTF-8"},
        {"migration: \xED\xA0\x80\n", "leat.yaml:1:12: byte 0xED is not UTF-8; save the file as UTF-8"},
        {"migration: \xF4\x90\x80\x80\n", "leat.yaml:1:12: byte 0xF4 is not UTF-8; save the file as UTF-8"},
        {"a: b\nmigration: \xE2\x82", "leat.yaml:2:12: byte 0xE2 is not UTF-8; save the file as UTF-8"},
        {"migration: a\x01\n", "leat.yaml:1:13: a control character (0x01)"},
        {"migration: \"a\\0b\"\n", "leat.yaml:1:12: a value with a zero character in it"},
        {"a: &x [*x]\n", "leat.yaml:1:4: anchors (&name) are not taken; write the value where it is needed"},
        {"a: *x\n",
         "leat.yaml:1:4: aliases (*name) are not taken; a pattern that begins with * needs quotes: \"*.orders\""},
        {HEAD "    include: [*.a]\n",
         "leat.yaml:6:15: aliases (*name) are not taken; a pattern that begins with * needs quotes: \"*.orders\""},
        {"a: !!int 1\n", "leat.yaml:1:4: tags (!name) are not taken; a value that begins with ! needs quotes"},
        {"a: [[[[[[[[[[1]]]]]]]]]]\n", "leat.yaml:1:11: nested deeper than anything in leat.yaml"},
        {"? [a]\n: b\n", "leat.yaml:1:3: a list or a map cannot be a key"},
        {HEAD "---\na: b\n", "leat.yaml:6:1: a second document (---) begins here; there can be only one"},
        {"a: @x\n", "leat.yaml:1:4: not valid YAML: a value cannot begin with this character; put it in quotes"},
        {"a: \"x\n", "leat.yaml:2:1: not valid YAML: found unexpected end of stream (while scanning a quoted scalar, "
                     "begun on line 1)"},
    };

    (void)state;
    ASSERT_MISTAKES(all);
}

static void test_size_of_the_file(void **state)
{
    AUTO_BUF text = {0};
    struct fault f;
    struct config *c = NULL;

    (void)state;
    buf_adds(&text, HEAD);
    while (text.len < CONFIG_FILE_MAX)
        buf_addc(&text, '#');
    assert_int_equal(config_parse("leat.yaml", text.data, text.len, &c, &f), ERR_OK);
    config_free(c);
    buf_addc(&text, '#');
    assert_string_equal(refused(text.data, text.len, &f), "leat.yaml: larger than 1 MB: this is not a leat.yaml");
    buf_clear(&text);
    for (size_t i = 0; i < CONFIG_FILE_MAX; i++)
        buf_addc(&text, '[');
    assert_string_equal(refused(text.data, text.len, &f), "leat.yaml:1:9: nested deeper than anything in leat.yaml");
    assert_string_equal(refused("migration: \0\n", 13, &f), "leat.yaml:1:12: a control character (0x00)");
}

static void test_too_many_stores(void **state)
{
    AUTO_BUF text = {0};
    AUTO_BUF more = {0};
    AUTO(config) *c = NULL;
    struct fault f;

    (void)state;
    buf_adds(&text, "migration: m\nstores:\n");
    for (int i = 0; i < CONFIG_NAMES_MAX; i++)
        buf_addf(&text, "  s%d: {source: host=a dbname=d%d, target: host=b dbname=d%d}\n", i, i, i);
    c = parse(text.data);
    assert_int_equal(c->store_count, CONFIG_NAMES_MAX);
    buf_addf(&more, "%s  more: {}\n", text.data);
    assert_string_equal(refused(more.data, more.len, &f), "leat.yaml:3:3: \"stores\" has more than 64 names");
}

/* --- the table, the reference, the template --- */

/* Every default and every example is what its own key takes; every group stands before its keys. */
static void test_schema(void **state)
{
    AUTO(arena) *a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const struct config_kind *kind = &config_kinds[key->kind];
        struct config_parsed value;

        if (kind->shape == SHAPE_ONE && key->fallback != NULL)
            assert_null(kind->parse(a, key, key->fallback, &value));
        if (kind->shape == SHAPE_ONE && key->example != NULL)
            assert_null(kind->parse(a, key, key->example, &value));
        if (kind->parse != NULL && key->fallback == NULL && key->kind != KIND_DSN)
            assert_non_null(key->example);
        assert_false(key->required && key->fallback != NULL);
        assert_true(strlen(key->doc) > 5 && key->doc[strlen(key->doc) - 1] == '.');
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(key->path, config_keys[j].path);
            assert_false(config_key_below(key, &config_keys[j]));
        }
    }
}

static void read_whole(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    size_t n = 1;

    if (file == NULL)
        fail_msg("%s: %s (set LEAT_SOURCE_ROOT)", path, strerror(errno));
    while (n > 0) {
        buf_reserve(out, 4096);
        n = fread(out->data + out->len, 1, 4096, file);
        out->len += n;
        out->data[out->len] = '\0';
    }
    fclose(file);
}

/* The tree's root: named by the environment, or above where the test runs, or above where it was compiled from. */
static char *source_root(void)
{
    static const char compiled[] = __FILE__;
    const char *named = getenv("LEAT_SOURCE_ROOT"), *below = strstr(compiled, "tests/unit/");
    char up[PATH_MAX] = ".";

    if (named != NULL)
        return mem_dup(named);
    for (int i = 0; i < 16; i++) {
        AUTO_CHARS *file = mem_format("%s/src/config/schema.def", up);

        if (access(file, R_OK) == 0)
            return mem_dup(up);
        memmove(up + 3, up, strlen(up) + 1);
        memcpy(up, "../", 3);
    }
    return below != NULL && below > compiled ? mem_format("%.*s", (int)(below - compiled), compiled) : mem_dup(".");
}

static void test_reference_is_committed(void **state)
{
    AUTO_CHARS *root = source_root();
    AUTO_CHARS *path = mem_format("%s/docs/leat.yaml.md", root);
    AUTO_BUF committed = {0};
    AUTO_BUF made = {0};

    (void)state;
    config_reference(&made);
    if (getenv("LEAT_WRITE_REFERENCE") != NULL) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_int_equal(fwrite(made.data, 1, made.len, file), made.len);
        assert_int_equal(fclose(file), 0);
    }
    read_whole(path, &committed);
    if (strcmp(buf_cstr(&committed), buf_cstr(&made)) != 0)
        fail_msg("docs/leat.yaml.md is not what config_reference() makes; LEAT_WRITE_REFERENCE=1 and this test write "
                 "it anew");
}

static void test_reference_names_every_key(void **state)
{
    AUTO_BUF made = {0};

    (void)state;
    config_reference(&made);
    for (size_t i = 0; i < config_key_count; i++) {
        AUTO_CHARS *row = mem_format("\n| `%s` | ", config_keys[i].path);

        if (config_kinds[config_keys[i].kind].parse != NULL)
            assert_non_null(strstr(made.data, row));
    }
    assert_non_null(strstr(made.data, "read by a later release"));
}

static void test_template(void **state)
{
    AUTO_BUF text = {0};
    AUTO_BUF blank = {0};
    AUTO(config) *c = NULL;
    struct fault f;

    (void)state;
    config_template(&text, "shop", "orders", "host=old dbname=a password='x \"y\\\\ : # z'",
                    "postgresql://u:p%20@new/a");
    c = parse(text.data);
    assert_string_equal(c->migration, "shop");
    assert_string_equal(c->stores[0].name, "orders");
    assert_string_equal(c->stores[0].source, "host=old dbname=a password='x \"y\\\\ : # z'");
    assert_string_equal(c->stores[0].target, "postgresql://u:p%20@new/a");
    assert_int_equal(c->limits.copy_workers, 4);
    assert_int_equal(c->limits.verify_workers, 1);
    config_template(&blank, "shop", "orders", NULL, NULL);
    assert_non_null(strstr(refused(blank.data, blank.len, &f), "\"source\" has no value"));
}

/* What stands in the template as a comment can be uncommented as it is. */
static void test_template_uncommented(void **state)
{
    AUTO_BUF text = {0};
    AUTO_BUF plain = {0};
    AUTO(config) *c = NULL;

    (void)state;
    config_template(&text, "shop", "orders", "host=old dbname=orders",
                    "host=new dbname=orders"); /* its name is the examples', too */
    for (const char *line = text.data; *line != '\0';) {
        size_t n = strcspn(line, "\n") + 1, indent = strspn(line, " "), word;

        word = line[indent] == '#' ? 2 + strspn(line + indent + 2, "abcdefghijklmnopqrstuvwxyz_") : 0;
        if (word > 2 && indent > 0 && line[indent + word] == ':')
            buf_addf(&plain, "%*s%.*s", (int)indent, "", (int)(n - indent - 2), line + indent + 2);
        else
            buf_add(&plain, line, n);
        line += n;
    }
    c = parse(plain.data);
    assert_int_equal(c->stores[0].include_count, 1);
    assert_true(config_value(c, "limits.apply_lanes")->line > 0);
    assert_true(config_value(c, "gates.lag")->line > 0);
}

/* --- the file itself --- */

static void test_load(void **state)
{
    char path[] = "/tmp/leat-config-XXXXXX";
    int fd = mkstemp(path);
    struct config *c = NULL;
    struct fault f = {0};

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, contract, sizeof contract - 1), sizeof contract - 1);
    close(fd);
    assert_int_equal(config_load(path, &c, &f), ERR_OK);
    assert_string_equal(c->path, path);
    assert_string_equal(c->migration, "shop-2026");
    config_free(c);
    unlink(path);
    c = NULL;
    assert_int_equal(config_load(path, &c, &f), ERR_CONFIG_MISSING);
    fault_clear(&f);
    assert_int_equal(config_load("/tmp", &c, &f), ERR_CONFIG);
    assert_string_equal(f.why, "/tmp: Is a directory");
    assert_null(c);
    config_free(NULL);
}

/* An endless file ends at the limit. */
static void test_load_endless(void **state)
{
    struct config *c = NULL;
    struct fault f = {0};

    (void)state;
    assert_int_equal(config_load("/dev/zero", &c, &f), ERR_CONFIG);
    assert_string_equal(f.why, "/dev/zero: larger than 1 MB: this is not a leat.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_values_are_kept),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_several_stores),
        cmocka_unit_test(test_other_editors),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_values_out_of_range),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_missing_and_repeated),
        cmocka_unit_test(test_names_and_engines),
        cmocka_unit_test(test_not_yaml),
        cmocka_unit_test(test_size_of_the_file),
        cmocka_unit_test(test_too_many_stores),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_reference_is_committed),
        cmocka_unit_test(test_reference_names_every_key),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_template_uncommented),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_endless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
