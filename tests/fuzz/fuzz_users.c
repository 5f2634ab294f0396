/* tests/fuzz/fuzz_users.c — a userlist nobody vouches for: every user taken from it can be found again, and is what its
 * kind says. */
#include <stddef.h>
#include <stdint.h>

#include "shift/users.h"
#include "wire/md5auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(users) *u = NULL;
    struct fault f = {0};

    if (users_parse("users.txt", (const char *)data, size, &u, &f) != ERR_OK) {
        ENSURE(u == NULL && f.code == ERR_USERLIST && strncmp(f.why, "users.txt:", 10) == 0);
        return 0;
    }
    for (size_t from = 0; from < size; from++) { /* every word between quotes that could be a name */
        char name[USERS_NAME_MOST + 1] = {0};
        const struct user *one;

        for (size_t n = 0; n < USERS_NAME_MOST && from + n < size && data[from + n] != '"'; n++)
            name[n] = (char)data[from + n];
        one = users_find(u, name);
        if (one == NULL)
            continue;
        ENSURE(strcmp(one->name, name) == 0 && strlen(one->secret) < size);
        ENSURE((one->kind == USER_MD5) == md5auth_is_hash(one->secret));
        ENSURE(one->kind != USER_SCRAM || (one->verifier.iterations > 0 && one->verifier.salt_len > 0));
    }
    return 0;
}
