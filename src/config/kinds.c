/* config/kinds.c — how a value looks: for each kind of schema.def, text to value, with words for what is wrong. */
#include "config/internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#define NAME_MAX_CHARS 32
#define PORT_MAX 65535
#define PERCENT_ONE 1000000 /* percents are kept in millionths of one percent */

struct unit {
    const char *name;
    int64_t worth;
};
static const struct unit durations[] = {
    {"us", 1},           {"ms", 1000},         {"s", 1000000}, {"m", 60 * (int64_t)1000000},
    {"h", 3600000000LL}, {"d", 86400000000LL}, {NULL, 0}};
static const struct unit sizes[] = {{"B", 1},          {"kB", 1LL << 10}, {"KB", 1LL << 10}, {"MB", 1LL << 20},
                                    {"GB", 1LL << 30}, {"TB", 1LL << 40}, {NULL, 0}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits, at least one; too many of them give INT64_MAX. Returns what follows, or NULL. */
static const char *read_digits(const char *text, int64_t *ret)
{
    int64_t value = 0;

    if (!is_digit(*text))
        return NULL;
    for (; is_digit(*text); text++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value))
            value = INT64_MAX;
    *ret = value;
    return text;
}

/* A whole number and a unit, or 0; what is beyond int64 gives INT64_MAX, which lies outside of every range. */
static bool read_units(const char *text, const struct unit *units, int64_t *ret)
{
    int64_t value;
    const char *rest = read_digits(text, &value);

    if (rest != NULL && value == 0 && *rest == '\0') {
        *ret = 0;
        return true;
    }
    for (; rest != NULL && units->name != NULL; units++)
        if (strcmp(rest, units->name) == 0) {
            if (__builtin_mul_overflow(value, units->worth, ret))
                *ret = INT64_MAX;
            return true;
        }
    return false;
}

static bool read_duration(const char *text, int64_t *ret)
{
    return read_units(text, durations, ret);
}

static bool read_size(const char *text, int64_t *ret)
{
    return read_units(text, sizes, ret);
}

static bool read_integer(const char *text, int64_t *ret)
{
    int64_t value;
    const char *rest = read_digits(text, &value);

    if (rest == NULL || *rest != '\0')
        return false;
    *ret = value;
    return true;
}

/* "5%", "0.1%": at most six digits behind the point. */
static bool read_percent(const char *text, int64_t *ret)
{
    int64_t whole, value, worth = PERCENT_ONE / 10;
    const char *rest = read_digits(text, &whole);

    if (rest == NULL)
        return false;
    if (__builtin_mul_overflow(whole, PERCENT_ONE, &value))
        value = INT64_MAX;
    if (*rest == '.') {
        if (!is_digit(*++rest))
            return false;
        for (; is_digit(*rest) && worth > 0; rest++, worth /= 10)
            if (__builtin_add_overflow(value, worth * (*rest - '0'), &value))
                value = INT64_MAX;
    }
    if (strcmp(rest, "%") != 0)
        return false;
    *ret = value;
    return true;
}

bool config_parse_duration(const char *text, int64_t *ret_us)
{
    int64_t us;

    if (!read_duration(text, &us) || us == INT64_MAX)
        return false;
    *ret_us = us;
    return true;
}

bool config_parse_percent(const char *text, int64_t *ret)
{
    return read_percent(text, ret);
}

bool config_parse_size(const char *text, int64_t *ret_bytes)
{
    int64_t bytes;

    if (!read_size(text, &bytes) || bytes == INT64_MAX)
        return false;
    *ret_bytes = bytes;
    return true;
}

typedef bool number_reader(const char *text, int64_t *ret);

/* A number in the range of its key. `expected` says how one is written. */
static const char *parse_number(struct arena *a, const struct config_key *key, const char *text, number_reader *reader,
                                const char *expected, struct config_parsed *ret)
{
    const char *dots = key->range != NULL ? strstr(key->range, "..") : NULL;
    int64_t low, high, value;

    ENSURE(dots != NULL);
    ENSURE(reader(arena_format(a, "%.*s", (int)(dots - key->range), key->range), &low) && reader(dots + 2, &high) &&
           low <= high);
    if (!reader(text, &value))
        return arena_format(a, "expected %s, not \"%s\"", expected, config_shown(a, text));
    if (value < low || value > high)
        return arena_format(a, "\"%s\" is out of range: from %.*s to %s", config_shown(a, text),
                            (int)(dots - key->range), key->range, dots + 2);
    *ret = (struct config_parsed){.text = text, .number = value};
    return NULL;
}

static const char *parse_integer(struct arena *a, const struct config_key *key, const char *text,
                                 struct config_parsed *ret)
{
    return parse_number(a, key, text, read_integer, "a whole number", ret);
}

static const char *parse_duration(struct arena *a, const struct config_key *key, const char *text,
                                  struct config_parsed *ret)
{
    return parse_number(a, key, text, read_duration, "a duration such as 250ms, 1s, 10m, 12h or 7d", ret);
}

static const char *parse_size(struct arena *a, const struct config_key *key, const char *text,
                              struct config_parsed *ret)
{
    return parse_number(a, key, text, read_size, "a size such as 512MB or 20GB", ret);
}

static const char *parse_percent(struct arena *a, const struct config_key *key, const char *text,
                                 struct config_parsed *ret)
{
    return parse_number(a, key, text, read_percent, "a percentage such as 5% or 0.1%", ret);
}

bool config_name_ok(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return text[n] == '\0' && n >= 1 && n <= NAME_MAX_CHARS && text[0] >= 'a' && text[0] <= 'z';
}

static const char *parse_name(struct arena *a, const struct config_key *key, const char *text,
                              struct config_parsed *ret)
{
    (void)key;
    if (!config_name_ok(text))
        return arena_format(a, "\"%s\" is not a name: a-z first, then a-z, 0-9, _ or -, at most %d characters",
                            config_shown(a, text), NAME_MAX_CHARS);
    ret->text = text;
    return NULL;
}

static const char *parse_text(struct arena *a, const struct config_key *key, const char *text,
                              struct config_parsed *ret)
{
    (void)a;
    (void)key;
    if (*text == '\0')
        return "it is empty";
    ret->text = text;
    return NULL;
}

/* "this|that|other": the number is the position. */
static bool read_choice(const char *items, const char *text, int64_t *ret)
{
    size_t n = strlen(text);
    int64_t at = 0;

    for (const char *p = items; p != NULL; at++) {
        const char *bar = strchr(p, '|');

        if ((bar != NULL ? (size_t)(bar - p) : strlen(p)) == n && strncmp(p, text, n) == 0) {
            *ret = at;
            return true;
        }
        p = bar != NULL ? bar + 1 : NULL;
    }
    return false;
}

static const char *parse_choice(struct arena *a, const struct config_key *key, const char *text,
                                struct config_parsed *ret)
{
    const char *nearest;

    ENSURE(key->range != NULL);
    if (read_choice(key->range, text, &ret->number)) {
        ret->text = text;
        return NULL;
    }
    nearest = config_nearest(a, key->range, text);
    if (nearest != NULL)
        return arena_format(a, "\"%s\" is not one of %s; did you mean \"%s\"?", config_shown(a, text), key->range,
                            nearest);
    return arena_format(a, "\"%s\" is not one of %s", config_shown(a, text), key->range);
}

static const char *parse_engine(struct arena *a, const struct config_key *key, const char *text,
                                struct config_parsed *ret)
{
    const char *nearest = config_nearest(a, key->range, text);

    if (read_choice(key->range, text, &ret->number)) {
        ret->text = text;
        return NULL;
    }
    if (nearest != NULL || strcmp(text, "postgres") == 0)
        return arena_format(a, "\"%s\" is not known; did you mean \"%s\"?", config_shown(a, text),
                            nearest != NULL ? nearest : "postgresql");
    return arena_format(a, "\"%s\" is not supported; this release moves: %s", config_shown(a, text), key->range);
}

static const char *parse_dsn(struct arena *a, const struct config_key *key, const char *text, struct config_parsed *ret)
{
    const char *dsn = NULL;
    const char *wrong = config_dsn_expand(a, text, &dsn);

    (void)key;
    if (wrong == NULL)
        wrong = config_dsn_check(a, dsn);
    if (wrong == NULL)
        ret->text = dsn;
    return wrong;
}

static const char *parse_pattern(struct arena *a, const struct config_key *key, const char *text,
                                 struct config_parsed *ret)
{
    const char *wrong = config_pattern_check(a, text);

    (void)key;
    if (wrong == NULL)
        ret->text = text;
    return wrong;
}

/* host:port, an IPv6 host in brackets. */
static bool address_ok(const char *text)
{
    bool bracket = *text == '[';
    size_t n = bracket ? strspn(text + 1, "0123456789abcdefABCDEF:.")
                       : strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    const char *colon = text + n + (bracket ? 2 : 0);
    int64_t port;

    if (n == 0 || (bracket && text[n + 1] != ']') || *colon != ':')
        return false;
    return read_integer(colon + 1, &port) && port >= 1 && port <= PORT_MAX;
}

static const char *parse_address(struct arena *a, const struct config_key *key, const char *text,
                                 struct config_parsed *ret)
{
    (void)key;
    if (!address_ok(text))
        return arena_format(a, "expected host:port such as 0.0.0.0:6432 or [::1]:6432, not \"%s\"",
                            config_shown(a, text));
    ret->text = text;
    return NULL;
}

bool config_parse_network(const char *text, struct config_network *ret)
{
    const char *slash = strchr(text, '/');
    size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
    struct config_network net = {.family = memchr(text, ':', n) != NULL ? AF_INET6 : AF_INET};
    int64_t most = net.family == AF_INET6 ? 128 : 32;
    int64_t bits = most;
    char address[INET6_ADDRSTRLEN];

    if (n == 0 || n >= sizeof address)
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    if (inet_pton(net.family, address, net.address) != 1)
        return false;
    if (slash != NULL && (!read_integer(slash + 1, &bits) || bits > most))
        return false;
    net.bits = (int)bits;
    *ret = net;
    return true;
}

static const char *parse_network(struct arena *a, const struct config_key *key, const char *text,
                                 struct config_parsed *ret)
{
    struct config_network net;

    (void)key;
    if (!config_parse_network(text, &net))
        return arena_format(a, "expected an address or a network such as 10.0.0.0/8 or ::1/128, not \"%s\"",
                            config_shown(a, text));
    ret->text = text;
    return NULL;
}

/* cookie:NAME, header:NAME (a token of RFC 9110), or address. */
static const char *parse_user(struct arena *a, const struct config_key *key, const char *text,
                              struct config_parsed *ret)
{
    bool named = strncmp(text, "cookie:", 7) == 0 || strncmp(text, "header:", 7) == 0;
    size_t n =
        named ? strspn(text + 7, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") : 0;

    (void)key;
    if (strcmp(text, "address") != 0 && (n == 0 || text[7 + n] != '\0'))
        return arena_format(a, "expected cookie:NAME, header:NAME or address, not \"%s\"", config_shown(a, text));
    ret->text = text;
    return NULL;
}

/* A webhook's address is a secret as often as not: it is never repeated. */
static const char *parse_url(struct arena *a, const struct config_key *key, const char *text, struct config_parsed *ret)
{
    size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : strncmp(text, "http://", 7) == 0 ? 7 : 0;

    (void)a;
    (void)key;
    if (scheme == 0 || strchr("/?#:@", text[scheme]) != NULL || text[strcspn(text, " \t\r\n\"<>")] != '\0')
        return "expected an address that begins with https:// or http://";
    ret->text = text;
    return NULL;
}

const struct config_kind config_kinds[KIND_COUNT] = {
    [KIND_GROUP] = {"keys", SHAPE_GROUP, AS_TEXT, NULL},
    [KIND_NAMED] = {"names", SHAPE_NAMED, AS_TEXT, NULL},
    [KIND_NAME] = {"name", SHAPE_ONE, AS_TEXT, parse_name},
    [KIND_TEXT] = {"text", SHAPE_ONE, AS_TEXT, parse_text},
    [KIND_DSN] = {"connection string", SHAPE_ONE, AS_TEXT, parse_dsn},
    [KIND_ENGINE] = {"word", SHAPE_ONE, AS_TEXT, parse_engine},
    [KIND_CHOICE] = {"word", SHAPE_ONE, AS_INT, parse_choice},
    [KIND_INTEGER] = {"whole number", SHAPE_ONE, AS_INT, parse_integer},
    [KIND_DURATION] = {"duration", SHAPE_ONE, AS_INT64, parse_duration},
    [KIND_SIZE] = {"size", SHAPE_ONE, AS_INT64, parse_size},
    [KIND_PERCENT] = {"percentage", SHAPE_ONE, AS_INT64, parse_percent},
    [KIND_PERCENTS] = {"percentage, or a list of them", SHAPE_LIST, AS_TEXT, parse_percent, true},
    [KIND_WORDS] = {"name, or a list of them", SHAPE_LIST, AS_TEXT, parse_text, true},
    [KIND_PATTERNS] = {"list of patterns", SHAPE_LIST, AS_TEXT, parse_pattern},
    [KIND_ADDRESS] = {"host:port", SHAPE_ONE, AS_TEXT, parse_address},
    [KIND_ADDRESSES] = {"list of host:port", SHAPE_LIST, AS_TEXT, parse_address},
    [KIND_DOORS] = {"host:port, or a list of them", SHAPE_LIST, AS_TEXT, parse_address, true},
    [KIND_NETWORKS] = {"list of networks", SHAPE_LIST, AS_TEXT, parse_network, true},
    [KIND_USER] = {"what tells users apart", SHAPE_ONE, AS_TEXT, parse_user},
    [KIND_URL] = {"web address", SHAPE_ONE, AS_TEXT, parse_url},
};
