/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_NIXL_END_H
#define BENCH_NIXL_END_H

/* One process's end: an agent of a real NIXL with one backend, a place that is
 * registered there, and the pipes to the other process. What fails ends the
 * process in words. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../tests/nixl/capi.h"
#include "place.h"

#define NEAR_SEED 1
#define FAR_SEED 2
#define BIG (64ul << 20)
#define IN_FLIGHT 4 /* large requests at once, each in bytes of its own */

#define MUST(call) do_or_die(capi()->call, #call)

struct options {
	const char *backend;
	int near_device, far_device;
	size_t n_small, n_tiny, n_rounds;
	bool ping; /* only that */
	bool alone; /* without progress threads of NIXL */
	char **params;
};

struct end {
	const struct options *options;
	void *agent, *args;
	struct place place;
	int mem;
	uint64_t device;
	int in, out; /* to the other process */
	uint64_t far_base, far_device;
	const char *far_name;
};

/* Pieces of one length, in slots of twice that, in an order of their own on
 * each side; or a single run. */
struct shape {
	const char *name;
	int op;
	size_t n, len_bytes;
	size_t at_bytes; /* where the slots begin, on both sides */
	uint32_t *near, *far;
};

void do_or_die(int status, const char *what);
uint64_t now_ns(void);

void put(struct end *end, const void *data, size_t len_bytes);
void get(struct end *end, void *data, size_t len_bytes);

/* Opens the place and the agent, and exchanges metadata. */
void end_open(struct end *end, const char *name, int device);

/* Both orders of n pieces, always the same ones. */
void shape_open(struct shape *shape);
void shape_close(struct shape *shape);

/* Does the place of that side, filled with `own`, hold the other's pieces? */
bool shape_holds(struct place *place, const struct shape *shape, bool near,
		 uint64_t own, uint64_t other);

/* How requests of one shape are made. */
struct maker {
	struct end *end;
	const struct shape *shape;
	void *near, *far; /* lists of all pieces in the shape's orders */
	/* By place, prepared; the shape's orders are indices into them. */
	void *all_near, *all_far;
};

void maker_open(struct maker *maker, struct end *end,
		const struct shape *shape);
void maker_close(struct maker *maker);
/* From lists of descriptors: createXferReq. */
void *make(const struct maker *maker);
/* From prepared lists and indices, as vLLM does it: makeXferReq. */
void *make_of_prepared(const struct maker *maker);
void drop(struct end *end, void *req);

void post(struct end *end, void *req);
void finish(struct end *end, void *req);

#endif
