/* store/postgres/admission.h — the admission operations of store.h: who may connect to one side's database, and who is
 * there. */
#ifndef LEAT_STORE_POSTGRES_ADMISSION_H
#define LEAT_STORE_POSTGRES_ADMISSION_H

#include "store/store.h"

MUST_USE enum err pg_admission_open(struct store *s, enum store_side on, struct store_admission **ret, struct fault *f);
void pg_admission_close(struct store_admission *a);
MUST_USE enum err pg_admission_facts(struct store_admission *a, struct arena *arena, struct store_admission_facts *ret,
                                     struct fault *f);
MUST_USE enum err pg_admission_deny(struct store_admission *a, const struct store_admission_facts *facts,
                                    struct fault *f);
MUST_USE enum err pg_admission_give_back(struct store_admission *a, bool *ret, struct fault *f);
MUST_USE enum err pg_admission_may_connect(struct store_admission *a, struct arena *arena, struct store_login **ret,
                                           size_t *ret_count, struct fault *f);
MUST_USE enum err pg_admission_sessions(struct store_admission *a, struct arena *arena, struct store_session **ret,
                                        size_t *ret_count, struct fault *f);
MUST_USE enum err pg_admission_end(struct store_admission *a, int64_t pid, struct fault *f);

#endif
