/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NIXL_SIDE_H
#define TESTS_NIXL_SIDE_H

/*
 * An agent with our backend, and what tests do with it in a line. What fails
 * here ends the case, unless the call says that it may fail.
 */

#include "capi.h"

#define SIDE_NAME_MAX 256

struct note {
	struct note *next;
	char from[SIDE_NAME_MAX];
	void *data;
	size_t len_bytes;
};

struct side {
	char name[SIDE_NAME_MAX];
	void *agent, *backend;
	void *args;		/* names the backend */
	void *notes;		/* map that notifications come in by */
	struct note *queue;	/* taken from it, oldest first */
	void *lists[8];		/* registered, to be freed at the end */
	/* Whose memory is registered and moved, here and over there. DRAM,
	 * unless set after opening. */
	struct side_mem {
		enum capi_mem kind;
		uint64_t device;
	} mem, far_mem;
};

/* "name=value" strings, NULL at the end; NULL: none. */
void side_open(struct side *side, const char *name, const char *const params[]);
void side_open_config(struct side *side, const char *name,
		      const struct capi_config *config,
		      const char *const params[]);
/* The same; 0, or less than 0 if the backend could not be made. The agent is
 * to be closed either way. */
int side_try(struct side *side, const char *name,
	     const struct capi_config *config, const char *const params[]);
void side_close(struct side *side);

/* One registration, of 8 at most; what it gives goes into side_deregister(),
 * or is left to side_close(). */
void *side_register(struct side *side, void *base, size_t len_bytes);
void side_deregister(struct side *side, void *registered);
/* The metadata of all, or of one registration; free() it. */
void *side_md(struct side *side, size_t *len_bytes);
void *side_md_of(struct side *side, void *registered, size_t *len_bytes);
int side_load(struct side *side, const void *md, size_t len_bytes);
/* `to` gets to know all of `from`. */
void side_know(struct side *to, struct side *from);
/* Does NIXL still know that memory of an agent? It forgets all of one that
 * is gone. */
bool side_knows(struct side *side, const char *name, uint64_t far,
		size_t len_bytes);

struct piece_pair {
	const void *near;
	uint64_t far; /* an address over there */
	size_t len_bytes;
};

/* note: NULL is none; note_len may be 0. NULL: refused. */
void *side_request(struct side *side, enum capi_op op, const char *name,
		   const struct piece_pair *pieces, size_t n, const void *note,
		   size_t note_len);
void *side_one(struct side *side, enum capi_op op, const char *name,
	       const void *near, uint64_t far, size_t len_bytes,
	       const void *note, size_t note_len);
void *side_list(struct side *side, const char *name,
		const struct piece_pair *pieces, size_t n);
int side_post(struct side *side, void *req);
/* With the notification of this post. */
int side_post_note(struct side *side, void *req, const void *note,
		   size_t note_len);
/* Until it is over: 0, less than 0, or CAPI_IN_PROGRESS after that time. */
int side_wait(struct side *side, void *req, int timeout_ms);
/* Post, wait, and it must have worked. */
void side_run(struct side *side, void *req);
void side_release(struct side *side, void *req);

/* The oldest notification; NULL: none in time. Those of one sender come in
 * order. Give it to side_note_free(). */
struct note *side_note(struct side *side, int timeout_ms);
void side_note_free(struct note *note);
/* The next one must be this. */
void side_want_note(struct side *side, const char *from, const void *data,
		    size_t len_bytes);
/* None is there, and none comes in that time. */
void side_want_none(struct side *side, int within_ms);
void side_tell(struct side *side, const char *name, const void *data,
	       size_t len_bytes);

#endif
