/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_AREA_H
#define TCPX_TOOL_AREA_H

/*
 * The memory of a case at one end, where the command line wants it: in host
 * memory or on a GPU. Contents are made and checked on the host, so an area
 * on a GPU has a twin there:
 *
 *      host  -- area_push -->  mem  == transfers ==>  ...
 *      host  <-- area_pull --  mem
 *
 * For host memory both are the same and push and pull do nothing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <tcpx/p2p.h>

enum place_kind {
	PLACE_HOST = 0,
	PLACE_GPU, /* of whatever driver the session has */
	PLACE_CUDA, /* a real one */
};

struct place {
	enum place_kind kind;
	uint32_t index; /* of the GPU, as in tcpx info */
};

#define PLACE_TEXT_MAX 24

/* "host", "gpu", "gpu:1", "cuda:0". Returns 0 or -1. */
int place_parse(const char *text, struct place *place);
/* The same the other way round, in buf of PLACE_TEXT_MAX bytes. */
const char *place_format(const struct place *place, char *buf);
/* Is there such a GPU here? If not, why is filled. */
int place_check(struct tcpx_session *session, const struct place *place,
		char *why, size_t cap_bytes);

struct area {
	struct tcpx_session *session;
	struct place place;
	uint64_t len_bytes;
	void *host; /* NULL: this area was never taken */
	void *mem; /* what is registered */
};

/* Whole pages of zeroes, or NULL. */
void *pages_take(uint64_t len_bytes);
void pages_give(void *pages, uint64_t len_bytes);

/* Returns 0, or a status having filled why. */
int area_take(struct area *area, struct tcpx_session *session,
	      const struct place *place, uint64_t len_bytes, char *why,
	      size_t cap_bytes);
/* Safe for one never taken. */
void area_give(struct area *area);
int area_push(struct area *area);
int area_pull(struct area *area);

#endif
