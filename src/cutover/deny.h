/* cutover/deny.h — after a switch nobody but leat and the doors is let in on the side that was left; before one the
 * side that is to serve lets in again whom it let in before. Hygiene, not safety: what keeps writers out is the fence.
 */
#ifndef LEAT_CUTOVER_DENY_H
#define LEAT_CUTOVER_DENY_H

#include "cutover/attempt.h"

/* The new side admits as it did before it was denied; a->admitted says whether it had been. */
MUST_USE enum err deny_admit(struct attempt *a, struct fault *f);
/* The old side, which was left. What could not be done is said, and stands in the report; nothing fails. */
void deny_left(struct attempt *a);
/* The new side again, where it was admitted and does not serve after all. */
void deny_again(struct attempt *a);

#endif
