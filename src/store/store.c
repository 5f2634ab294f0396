/* store/store.c — see store.h: the engines there are, once. */
#include "store/store.h"

#include <stdlib.h>

#include "store/postgres/postgres.h"

static const struct store_ops *const engines[] = {&store_postgres};

enum err store_new(const struct config *c, const struct config_store *cs, const char *state_dir, int64_t token, _Atomic bool *stop, struct store **ret, struct fault *f)
{
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (strcmp(engines[i]->engine, cs->engine) == 0) {
            struct store *s = mem_alloc(sizeof *s);
            *s = (struct store){.ops = engines[i], .config = c, .store = cs, .migration = c->migration, .name = cs->name, .state_dir = state_dir, .token = token, .stop = stop};
            *ret = s;
            return ERR_OK;
        }
    return fault_set(f, ERR_CONFIG, "store %s: engine %s is not known", cs->name, cs->engine);
}

void store_free(struct store *s)
{
    free(s);
}
