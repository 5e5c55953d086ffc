/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stddef.h>
#include <sys/uio.h>

/* A run of bytes in memory. Laid out as the kernel's iovec, so that an array
 * of spans can be handed to sendmsg() without being copied. */
struct span {
	void *base;
	size_t len_bytes;
};

_Static_assert(sizeof(struct span) == sizeof(struct iovec), "iovec layout");
_Static_assert(offsetof(struct span, base) == offsetof(struct iovec, iov_base),
	       "iovec layout");
_Static_assert(offsetof(struct span, len_bytes) ==
		       offsetof(struct iovec, iov_len),
	       "iovec layout");

#endif
