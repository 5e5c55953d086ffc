/* SPDX-License-Identifier: Apache-2.0 */
#include "end.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MD_MAX (1u << 20)

void do_or_die(int status, const char *what)
{
	if (status < 0)
		die("NIXL: %s gave %d", what, status);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- between the processes -------------------------------------------- */

void put(struct end *end, const void *data, size_t len)
{
	if (write(end->out, data, len) != (ssize_t)len)
		die("the other process is gone");
}

void get(struct end *end, void *data, size_t len)
{
	char *at = data;

	while (len) {
		ssize_t n = read(end->in, at, len);

		if (n <= 0)
			_exit(1);
		at += n;
		len -= (size_t)n;
	}
}

static void exchange_md(struct end *end)
{
	char *name = NULL, *md = malloc(MD_MAX);
	void *own;
	size_t len;

	MUST(get_local_md(end->agent, &own, &len));
	put(end, &len, sizeof(len));
	put(end, own, len);
	put(end, &end->place.base, sizeof(end->place.base));
	put(end, &end->device, sizeof(end->device));
	get(end, &len, sizeof(len));
	if (!md || len > MD_MAX)
		die("metadata of %zu bytes", len);
	get(end, md, len);
	get(end, &end->far_base, sizeof(end->far_base));
	get(end, &end->far_device, sizeof(end->far_device));
	MUST(load_remote_md(end->agent, md, len, &name));
	free(name);
	free(md);
	free(own);
}

/* ---- an agent --------------------------------------------------------- */

static size_t place_bytes(const struct options *o)
{
	size_t small = o->n_small * 8192, tiny = o->n_tiny * 512;
	size_t most = small > tiny ? small : tiny;

	return most > IN_FLIGHT * BIG ? most : IN_FLIGHT * BIG;
}

static void *params_of(const struct options *o)
{
	void *params;

	MUST(create_params(&params));
	for (char **one = o->params; *one; one++) {
		char *equals = strchr(*one, '=');

		if (!equals)
			die("%s is no PARAMETER=VALUE", *one);
		*equals = '\0';
		MUST(params_add(params, *one, equals + 1));
		*equals = '=';
	}
	return params;
}

void end_open(struct end *end, const char *name, int device)
{
	const struct capi_config config = {.progress_thread =
						   !end->options->alone,
					   .sync = CAPI_SYNC_NONE};
	void *params = params_of(end->options), *backend, *list;

	end->mem = device < 0 ? CAPI_DRAM : CAPI_VRAM;
	end->device = device < 0 ? 0 : (uint64_t)device;
	place_open(&end->place, device, place_bytes(end->options));
	MUST(create_configured_agent(name, &config, &end->agent));
	MUST(create_backend(end->agent, end->options->backend, params,
			    &backend));
	MUST(create_opt_args(&end->args));
	MUST(opt_args_add_backend(end->args, backend));
	MUST(create_reg_dlist(end->mem, &list));
	MUST(reg_dlist_add_desc(list, (uintptr_t)end->place.base,
				end->place.len_bytes, end->device, "", 0));
	MUST(register_mem(end->agent, list, end->args));
	exchange_md(end);
}

/* ---- layouts ---------------------------------------------------------- */

static uint64_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static uint32_t *shuffled(size_t n, uint64_t seed)
{
	uint32_t *order = malloc(n * sizeof(*order));
	uint64_t state = seed;

	if (!order)
		die("no memory");
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t k = next(&state) % i;
		uint32_t t = order[i - 1];

		order[i - 1] = order[k];
		order[k] = t;
	}
	return order;
}

void shape_open(struct shape *shape)
{
	shape->near = shuffled(shape->n, 77);
	shape->far = shuffled(shape->n, 78);
}

void shape_close(struct shape *shape)
{
	free(shape->near);
	free(shape->far);
}

static size_t pitch(const struct shape *shape)
{
	return shape->n == 1 ? 0 : 2 * shape->len_bytes;
}

static size_t offset(const struct shape *shape, uint32_t slot)
{
	return shape->at_bytes + slot * pitch(shape);
}

bool shape_holds(struct place *place, const struct shape *shape, bool near,
		 uint64_t own, uint64_t other)
{
	const uint8_t *bytes = place_look(place);
	const uint32_t *to = near ? shape->near : shape->far;
	const uint32_t *from = near ? shape->far : shape->near;

	for (size_t i = 0; i < shape->n; i++) {
		size_t at = offset(shape, to[i]), k = offset(shape, from[i]);

		for (size_t j = 0; j < shape->len_bytes; j++)
			if (bytes[at + j] != place_byte(other, k + j))
				return false;
		/* And its neighbour is as it was. */
		if (pitch(shape) &&
		    bytes[at + shape->len_bytes] !=
			    place_byte(own, at + shape->len_bytes))
			return false;
	}
	return true;
}

/* ---- requests --------------------------------------------------------- */

/* order: NULL: by place. */
static void *list_of(struct end *end, const struct shape *shape, bool near,
		     const uint32_t *order)
{
	uint64_t base = near ? end->place.base : end->far_base;
	void *list;

	/* Both sides are of the same kind here. */
	MUST(create_xfer_dlist(end->mem, &list));
	for (size_t i = 0; i < shape->n; i++) {
		uint32_t slot = order ? order[i] : (uint32_t)i;

		MUST(xfer_dlist_add_desc(
			list, (uintptr_t)(base + offset(shape, slot)),
			shape->len_bytes,
			near ? end->device : end->far_device));
	}
	return list;
}

/* What is local has no name. */
static void *prepared(struct end *end, const struct shape *shape, bool near)
{
	void *list = list_of(end, shape, near, NULL), *handle;

	MUST(prep_xfer_dlist(end->agent, near ? "" : end->far_name, list,
			     &handle, end->args));
	MUST(destroy_xfer_dlist(list));
	return handle;
}

void maker_open(struct maker *maker, struct end *end, const struct shape *shape)
{
	*maker = (struct maker){
		.end = end,
		.shape = shape,
		.near = list_of(end, shape, true, shape->near),
		.far = list_of(end, shape, false, shape->far),
		.all_near = prepared(end, shape, true),
		.all_far = prepared(end, shape, false),
	};
}

void maker_close(struct maker *maker)
{
	struct end *end = maker->end;

	MUST(destroy_xfer_dlist(maker->near));
	MUST(destroy_xfer_dlist(maker->far));
	MUST(release_xfer_dlist_handle(end->agent, maker->all_near));
	MUST(release_xfer_dlist_handle(end->agent, maker->all_far));
}

void *make(const struct maker *maker)
{
	struct end *end = maker->end;
	void *req;

	MUST(create_xfer_req(end->agent, maker->shape->op, maker->near,
			     maker->far, end->far_name, &req, end->args));
	return req;
}

void *make_of_prepared(const struct maker *maker)
{
	const struct shape *shape = maker->shape;
	struct end *end = maker->end;
	void *req;

	MUST(make_xfer_req(end->agent, shape->op, maker->all_near,
			   (const int *)shape->near, shape->n, maker->all_far,
			   (const int *)shape->far, shape->n, &req, end->args));
	return req;
}

void drop(struct end *end, void *req)
{
	MUST(release_xfer_req(end->agent, req));
	MUST(destroy_xfer_req(req));
}

void post(struct end *end, void *req)
{
	MUST(post_xfer_req(end->agent, req, NULL));
}

void finish(struct end *end, void *req)
{
	int status;

	do
		status = capi()->get_xfer_status(end->agent, req);
	while (status == CAPI_IN_PROGRESS);
	do_or_die(status, "get_xfer_status");
}
