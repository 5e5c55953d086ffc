/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

/*
 * Where the time of a chunk goes. Only in builds with -Dtrace=true; in all
 * others trace() is nothing. Each thread keeps its last records; they are
 * written when the process ends, to the file that TRACE_TO names with the
 * process's number behind it. bench/gpu/trace reads such files.
 */

#include <stdint.h>

enum trace_kind {
	TRACE_POST = 1,		/* a transfer, by the program; b bytes */
	TRACE_STARTED,		/* its request is written; a: wire id */
	TRACE_REQUEST,		/* ... is read, at the other side */
	TRACE_PLACED_ALL,	/* a: wire id; the bytes are all there */
	TRACE_DONE,		/* the initiator's end */
	TRACE_WAITED,		/* the program knows */
	TRACE_CUT,		/* a: lane, b: chunk << 32 | bytes */
	TRACE_GATHERED,		/* seen to be; a, b: as above */
	TRACE_SENT,
	TRACE_BOUND,
	TRACE_ARRIVED,
	TRACE_PLACING,
	TRACE_PLACED,
	TRACE_SLEEP,		/* a: context */
	TRACE_AWAKE,
	TRACE_LAUNCH,		/* a: device, b: jobs */
	TRACE_LAUNCHED,
	TRACE_SEND,		/* the system call begins */
	TRACE_SEND_END,		/* b: bytes */
	TRACE_RECV,
	TRACE_RECV_END,
};

#ifdef TCPX_WITH_TRACE
void trace(enum trace_kind kind, uint32_t a, uint64_t b);
#else
static inline void trace(enum trace_kind kind, uint32_t a, uint64_t b)
{
	(void)kind;
	(void)a;
	(void)b;
}
#endif

static inline uint64_t trace_chunk(uint64_t k, uint32_t len_bytes)
{
	return k << 32 | len_bytes;
}

#endif
