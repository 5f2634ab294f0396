/* verify/selftest.h — the verifier proves itself in every run: damages planted in a scratch table must all be found, by the very code
 * that compares the tables. */
#ifndef LEAT_VERIFY_SELFTEST_H
#define LEAT_VERIFY_SELFTEST_H

#include "verify/compare.h"

#define SELFTEST_PLANTED 10

/* The scratch table (leat.scratch), as a table to compare. In the arena. */
void selftest_table(struct arena *a, struct compared *ret);
/* How many of the damages were found, each as what it is; 0 when something else was reported, too. */
int selftest_found(const struct compared *t);

#endif
