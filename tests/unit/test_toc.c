/* A dump's entries: text as pg_dump and pg_restore 15.20 wrote it (with names of every kind), and what may not fool the
 * parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "build/toc.h"

#define PROLOGUE                                                                                                       \
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict "                                                               \
    "Ze4phywgegpPFtaHcVPrG7hUI2MT1h4TM2y2pZ0fRQXLGegxj54NYZYTg3fgUeX\n\n"                                              \
    "-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)\n-- Dumped by pg_dump version 15.20 (Debian "      \
    "15.20-0+deb12u1)\n\n"                                                                                             \
    "-- Started on 2026-11-23 02:08:06 UTC\n\nSET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n"             \
    "SELECT pg_catalog.set_config('search_path', '', false);\nSET row_security = off;\n\n"
#define TRAILER                                                                                                        \
    "-- Completed on 2026-11-23 02:08:06 UTC\n\n--\n-- PostgreSQL database dump complete\n--\n\n"                      \
    "\\unrestrict Ze4phywgegpPFtaHcVPrG7hUI2MT1h4TM2y2pZ0fRQXLGegxj54NYZYTg3fgUeX\n\n"
#define SETTINGS "SET default_tablespace = '';\n\nSET default_table_access_method = heap;\n\n"

#define FUNCTION                                                                                                       \
    "--\n-- TOC entry 346 (class 1255 OID 16666)\n-- Name: f(); Type: FUNCTION; Schema: public; Owner: postgres\n-- "  \
    "Data Pos: 0\n--\n\n"                                                                                              \
    "CREATE FUNCTION \"public\".\"f\"() RETURNS \"trigger\"\n    LANGUAGE \"plpgsql\"\n    AS $$\nbegin\n"             \
    "--\n-- TOC entry 7 (class 0 OID 0)\n-- Name: hi; Type: TABLE; Schema: s; Owner: o\n--\n"                          \
    "  return null; -- it's\nend $$;\n\n\nALTER FUNCTION \"public\".\"f\"() OWNER TO postgres;\n\n"
#define TABLE                                                                                                          \
    "--\n-- TOC entry 220 (class 1259 OID 16610)\n-- Dependencies: 10\n"                                               \
    "-- Name: ta;b\" -- TOC entry 99 (class 1259 OID 1); Type: TABLE; Schema: Odd One; Owner: We ird\"R\n-- Data "     \
    "Pos: 0\n--\n\n"                                                                                                   \
    "CREATE TABLE \"Odd One\".\"ta;b\"\"\n-- TOC entry 99 (class 1259 OID 1)\" (\n    \"id\" integer NOT NULL,\n"      \
    "    \"x; Type: TABLE; Schema: y; Owner: z\" \"text\"\n);\n\n\n"
#define INDEX                                                                                                          \
    "--\n-- TOC entry 3445 (class 1259 OID 16617)\n-- Dependencies: 220\n-- Name: i'd;x ü; Type: INDEX; Schema: Odd " \
    "One; Owner: postgres\n"                                                                                           \
    "-- Data Pos: 0\n--\n\nCREATE UNIQUE INDEX \"i'd;x\nü\" ON \"Odd One\".\"ta;b\"\"\n"                              \
    "-- TOC entry 99 (class 1259 OID 1)\" USING \"btree\" (\"v\");\n\nALTER TABLE ONLY \"public\".\"a\" REPLICA "      \
    "IDENTITY USING INDEX \"a_k\";\n\n\n"
#define COMMENT                                                                                                        \
    "--\n-- TOC entry 3686 (class 0 OID 0)\n-- Dependencies: 3445\n-- Name: INDEX \"i'd;x ü\"; Type: COMMENT; "       \
    "Schema: Odd One; Owner: postgres\n"                                                                               \
    "-- Data Pos: 0\n--\n\nCOMMENT ON INDEX \"Odd One\".\"i'd;x\nü\" IS 'line\n--\n-- TOC entry 5 (class 1 OID 2)\n"  \
    "-- Name: x; Type: TABLE; Schema: -; Owner: -\n--\n\nend; ''quoted''\nSET default_tablespace = nowhere;\n';\n\n\n"
#define TRIGGER                                                                                                        \
    "--\n-- TOC entry 3506 (class 2620 OID 16816)\n-- Dependencies: 236 3505 236 256\n-- Name: pr_1 ptr; Type: "       \
    "TRIGGER; Schema: public; Owner: postgres\n"                                                                       \
    "-- Data Pos: 0\n--\n\n\nALTER TABLE \"public\".\"pr_1\" DISABLE TRIGGER \"ptr\";\n\n\n"
#define SCHEMA                                                                                                         \
    "--\n-- TOC entry 6 (class 2615 OID 2200)\n-- Name: public; Type: SCHEMA; Schema: -; Owner: postgres\n-- Data "    \
    "Pos: 0\n--\n\n"                                                                                                   \
    "-- *not* creating schema, since initdb creates it\n\n\n"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static struct toc parse(const char *text)
{
    struct toc toc = {0};
    struct fault f = {0};

    assert_int_equal(toc_parse(arena, text, strlen(text), &toc, &f), ERR_OK);
    return toc;
}

static void test_entries(void **state)
{
    struct toc toc = parse(PROLOGUE SCHEMA FUNCTION SETTINGS TABLE INDEX COMMENT TRIGGER TRAILER);
    static const int ids[] = {6, 346, 220, 3445, 3686, 3506};
    const struct toc_entry *e;

    (void)state;
    assert_int_equal(toc.count, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(toc.entries[i].id, ids[i]);
        assert_ptr_equal(toc_find(&toc, ids[i]), &toc.entries[i]);
    }
    assert_null(toc_find(&toc, 99));
    assert_null(toc_find(&toc, 1000000));
    e = &toc.entries[2];
    assert_int_equal(e->class_oid, 1259);
    assert_int_equal(e->oid, 16610);
    assert_string_equal(e->name, "ta;b\" -- TOC entry 99 (class 1259 OID 1)");
    assert_string_equal(e->type, "TABLE");
    assert_string_equal(e->schema, "Odd One");
    assert_string_equal(e->owner, "We ird\"R");
    assert_null(e->tablespace);
    e = &toc.entries[5];
    assert_int_equal(e->depend_count, 4);
    assert_int_equal(e->depends[0], 236);
    assert_int_equal(e->depends[3], 256);
    assert_string_equal(e->sql, "ALTER TABLE \"public\".\"pr_1\" DISABLE TRIGGER \"ptr\";");
    assert_string_equal(toc.entries[0].sql, "-- *not* creating schema, since initdb creates it");
}

/* Statements come back whole, byte for byte, whatever stands in them. */
static void test_statements(void **state)
{
    struct toc toc = parse(PROLOGUE FUNCTION SETTINGS TABLE INDEX COMMENT TRAILER);
    const char *body = strstr(FUNCTION, "CREATE FUNCTION");
    const char *index = strstr(INDEX, "CREATE UNIQUE");
    const char *comment = strstr(COMMENT, "COMMENT ON");

    (void)state;
    assert_int_equal(toc.count, 4);
    assert_int_equal(strlen(toc.entries[0].sql), strlen(body) - 2);
    assert_memory_equal(toc.entries[0].sql, body, strlen(body) - 2);
    assert_memory_equal(toc.entries[2].sql, index, strlen(index) - 3);
    assert_int_equal(strlen(toc.entries[2].sql), strlen(index) - 3);
    assert_memory_equal(toc.entries[3].sql, comment, strlen(comment) - 3);
    assert_int_equal(strlen(toc.entries[3].sql), strlen(comment) - 3);
}

/* Settings between entries belong to those behind them, and only where they are statements. */
static void test_settings(void **state)
{
    struct toc toc = parse(PROLOGUE FUNCTION SETTINGS TABLE
                           "SET default_tablespace = \"Fast; one\";\n\n" INDEX COMMENT TRIGGER TRAILER);
    struct toc first = parse(PROLOGUE SETTINGS TABLE TRAILER);

    (void)state;
    assert_string_equal(toc.entries[0].in_space, "");
    assert_string_equal(toc.entries[0].in_method, "");
    assert_string_equal(toc.entries[1].in_space, "SET LOCAL default_tablespace = '';\n");
    assert_string_equal(toc.entries[1].in_method, "SET LOCAL default_table_access_method = heap;\n");
    assert_string_equal(toc.entries[2].in_space, "SET LOCAL default_tablespace = \"Fast; one\";\n");
    assert_string_equal(toc.entries[2].in_method, toc.entries[1].in_method);
    assert_string_equal(toc.entries[4].in_space, toc.entries[2].in_space);
    assert_null(strstr(toc.entries[1].sql, "SET default"));
    assert_string_equal(first.entries[0].in_space, toc.entries[1].in_space);
}

/* What stands in quotes, in dollars, in comments and after a backslash, one after the other, before a real header. */
static void test_quotes(void **state)
{
    static const char *const bodies[] = {
        "SELECT 'a''b\n--\n-- TOC entry 1 (class 1 OID 1)\n', \"x\"\"\n--\n-- TOC entry 2 (class 1 OID 1)\n\";",
        "SELECT E'\\'\n--\n-- TOC entry 1 (class 1 OID 1)\n\\\\', '\\';",
        "SELECT $a$ $b$ $\n--\n-- TOC entry 1 (class 1 OID 1)\n $a$, $1 + a$b, $$'$$;",
        "SELECT 1 /* ' /* \" */ $$\n--\n-- TOC entry 1 (class 1 OID 1)\n */ -- ' \" $$ /*\n;",
        "SELECT namee'x\\', 'y'; SELECT $ä$\n--\n-- TOC entry 1 (class 1 OID 1)\n$ä$ - -1 / 2;",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct toc toc = parse(
            arena_format(arena, PROLOGUE "%s%s\n\n\n%s",
                         "--\n-- TOC entry 9 (class 0 OID 0)\n-- Name: n; Type: DOMAIN; Schema: s; Owner: o\n--\n\n",
                         bodies[i], TRIGGER TRAILER));
        assert_int_equal(toc.count, 2);
        assert_string_equal(toc.entries[0].sql, bodies[i]);
    }
}

static void test_names(void **state)
{
    struct toc toc = parse("--\n-- TOC entry 9 (class 0 OID 0)\n-- Name: a; Type: TABLE; Schema: x; Type: FK "
                           "CONSTRAINT; Schema: s; Owner: o; Tablespace: fast\n--\n\n;\n");

    (void)state;
    assert_int_equal(toc.count, 1);
    assert_string_equal(toc.entries[0].name, "a; Type: TABLE; Schema: x");
    assert_string_equal(toc.entries[0].type, "FK CONSTRAINT");
    assert_string_equal(toc.entries[0].owner, "o");
    assert_string_equal(toc.entries[0].tablespace, "fast");
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "--\n-- TOC entry x (class 1 OID 2)\n-- Name: a; Type: TABLE; Schema: s; Owner: o\n--\n\nSELECT 1;\n",
        "--\n-- TOC entry 1 (class 1 OID 2)\n-- Name: a; Type: table; Schema: s; Owner: o\n--\n\nSELECT 1;\n",
        "--\n-- TOC entry 1 (class 1 OID 2)\n--\n\nSELECT 1;\n",
        "--\n-- TOC entry 1 (class 1 OID 2)",
        "--\n-- TOC entry 2000000000 (class 1 OID 2)\n-- Name: a; Type: TABLE; Schema: s; Owner: o\n--\n\nSELECT 1;\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct toc toc = {.count = 77};
        struct fault f = {0};
        assert_int_equal(toc_parse(arena, texts[i], strlen(texts[i]), &toc, &f), ERR_PG_DUMP);
        assert_int_equal(toc.count, 77);
    }
    assert_int_equal(parse("").count, 0);
    assert_int_equal(parse(PROLOGUE TRAILER).count, 0);
    assert_int_equal(parse(PROLOGUE "'").count, 0);
}

/* Cut anywhere, the text is read or refused, never overrun. */
static void test_cut_short(void **state)
{
    static const char whole[] = PROLOGUE SCHEMA FUNCTION SETTINGS TABLE INDEX COMMENT TRIGGER TRAILER;

    (void)state;
    for (size_t n = 0; n < sizeof whole; n++) {
        char *text = mem_alloc(n + 1); /* to the byte, so that the sanitizer sees */
        struct toc toc;
        struct fault f = {0};
        memcpy(text, whole, n);
        if (toc_parse(arena, text, n, &toc, &f) == ERR_OK)
            assert_true(toc.count <= 6);
        free(text);
        arena_reset(arena);
    }
}

static void test_list(void **state)
{
    int *ids;
    size_t count;

    (void)state;
    toc_parse_list(arena,
                   ";\n; Archive created at 2026-11-23 02:08:06 UTC\n;     TOC Entries: 120\n;\n10; 2615 16598 SCHEMA "
                   "- Odd One postgres\n"
                   "3261; 0 0 ACL - SCHEMA \"Odd One\" postgres\n6; 2615 2200 SCHEMA - public postgres",
                   &ids, &count);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 10);
    assert_int_equal(ids[1], 3261);
    assert_int_equal(ids[2], 6);
    toc_parse_list(arena, "", &ids, &count);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),   cmocka_unit_test(test_statements), cmocka_unit_test(test_settings),
        cmocka_unit_test(test_quotes),    cmocka_unit_test(test_names),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut_short), cmocka_unit_test(test_list),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
