/* wire/base64.h — base64 as RFC 4648 has it, strictly: padded, no white space, no bits left over. */
#ifndef LEAT_WIRE_BASE64_H
#define LEAT_WIRE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

void base64_add(struct buf *out, const uint8_t *bytes, size_t n);
/* False if it is no base64, or more than `size` bytes; ret is then not to be used. */
bool base64_read(const char *text, size_t len, uint8_t *ret, size_t size, size_t *ret_len);

#endif
