/* SPDX-License-Identifier: Apache-2.0 */
#include "side.h"

#include "check.h"
#include "support/scale.h"

#define SOON scale_ms(10000)

#define N_LISTS (sizeof(((struct side *)0)->lists) / sizeof(void *))

#define MUST(call) CHECK_EQ(capi()->call, 0)

/* ---- agents ----------------------------------------------------------- */

static void *make_params(const char *const params[])
{
	void *made;

	MUST(create_params(&made));
	for (; params && *params; params++) {
		const char *equals = strchr(*params, '=');
		char key[64];

		CHECK(equals && equals - *params < (long)sizeof(key));
		memcpy(key, *params, (size_t)(equals - *params));
		key[equals - *params] = '\0';
		MUST(params_add(made, key, equals + 1));
	}
	return made;
}

int side_try(struct side *side, const char *name,
	     const struct capi_config *config, const char *const params[])
{
	void *made = make_params(params);

	*side = (struct side){.agent = NULL};
	snprintf(side->name, sizeof(side->name), "%s", name);
	MUST(create_configured_agent(name, config, &side->agent));
	int err = capi()->create_backend(side->agent, "TCPX", made,
					 &side->backend);

	MUST(destroy_params(made));
	if (err)
		return err;
	MUST(create_opt_args(&side->args));
	MUST(opt_args_add_backend(side->args, side->backend));
	MUST(create_notif_map(&side->notes));
	return 0;
}

void side_open_config(struct side *side, const char *name,
		      const struct capi_config *config,
		      const char *const params[])
{
	CHECK_EQ(side_try(side, name, config, params), 0);
}

void side_open(struct side *side, const char *name, const char *const params[])
{
	const struct capi_config config = {.progress_thread = true,
					   .sync = CAPI_SYNC_STRICT};

	side_open_config(side, name, &config, params);
}

void side_close(struct side *side)
{
	while (side->queue) {
		struct note *note = side->queue;

		side->queue = note->next;
		side_note_free(note);
	}
	if (side->notes)
		MUST(destroy_notif_map(side->notes));
	if (side->args)
		MUST(destroy_opt_args(side->args));
	MUST(destroy_agent(side->agent));
	for (size_t i = 0; i < N_LISTS; i++)
		if (side->lists[i])
			MUST(destroy_reg_dlist(side->lists[i]));
	if (side->backend)
		MUST(destroy_backend(side->backend));
	*side = (struct side){.agent = NULL};
}

/* ---- memory, metadata ------------------------------------------------- */

void *side_register(struct side *side, void *base, size_t len_bytes)
{
	void *list;

	MUST(create_reg_dlist(side->mem.kind, &list));
	MUST(reg_dlist_add_desc(list, (uintptr_t)base, len_bytes,
				side->mem.device, "", 0));
	MUST(register_mem(side->agent, list, side->args));
	for (size_t i = 0; i < N_LISTS; i++) {
		if (!side->lists[i]) {
			side->lists[i] = list;
			return list;
		}
	}
	check_fail(CHECK_AT, "too many registrations");
	return NULL;
}

void side_deregister(struct side *side, void *registered)
{
	for (size_t i = 0; i < N_LISTS; i++)
		if (side->lists[i] == registered)
			side->lists[i] = NULL;
	MUST(deregister_mem(side->agent, registered, side->args));
	MUST(destroy_reg_dlist(registered));
}

void *side_md(struct side *side, size_t *len_bytes)
{
	void *data;

	MUST(get_local_md(side->agent, &data, len_bytes));
	return data;
}

void *side_md_of(struct side *side, void *registered, size_t *len_bytes)
{
	void *data, *args;

	MUST(create_opt_args(&args));
	MUST(opt_args_add_backend(args, side->backend));
	MUST(get_local_partial_md(side->agent, registered, &data, len_bytes,
				  args));
	MUST(destroy_opt_args(args));
	return data;
}

int side_load(struct side *side, const void *md, size_t len_bytes)
{
	char *name = NULL;
	int err = capi()->load_remote_md(side->agent, md, len_bytes, &name);

	free(name);
	return err;
}

void side_know(struct side *to, struct side *from)
{
	size_t len;
	void *md = side_md(from, &len);

	CHECK_EQ(side_load(to, md, len), 0);
	free(md);
}

bool side_knows(struct side *side, const char *name, uint64_t far,
		size_t len_bytes)
{
	void *list;

	MUST(create_xfer_dlist(side->far_mem.kind, &list));
	MUST(xfer_dlist_add_desc(list, (uintptr_t)far, len_bytes,
				 side->far_mem.device));
	int err = capi()->check_remote_md(side->agent, name, list);

	MUST(destroy_xfer_dlist(list));
	return err == 0;
}

/* ---- transfers -------------------------------------------------------- */

static void set_note(void *args, const void *note, size_t note_len)
{
	MUST(opt_args_set_has_notif(args, note != NULL));
	if (note)
		MUST(opt_args_set_notif_msg(args, note, note_len));
}

static void *make_list(struct side *side, const struct piece_pair *pieces,
		       size_t n, bool near)
{
	struct side_mem mem = near ? side->mem : side->far_mem;
	void *list;

	MUST(create_xfer_dlist(mem.kind, &list));
	for (size_t i = 0; i < n; i++)
		MUST(xfer_dlist_add_desc(list,
					 near ? (uintptr_t)pieces[i].near :
						(uintptr_t)pieces[i].far,
					 pieces[i].len_bytes, mem.device));
	return list;
}

void *side_request(struct side *side, enum capi_op op, const char *name,
		   const struct piece_pair *pieces, size_t n, const void *note,
		   size_t note_len)
{
	void *near = make_list(side, pieces, n, true);
	void *far = make_list(side, pieces, n, false);
	void *req = NULL, *args;

	MUST(create_opt_args(&args));
	MUST(opt_args_add_backend(args, side->backend));
	set_note(args, note, note_len);
	int err = capi()->create_xfer_req(side->agent, op, near, far, name,
					  &req, args);

	MUST(destroy_opt_args(args));
	MUST(destroy_xfer_dlist(near));
	MUST(destroy_xfer_dlist(far));
	return err ? NULL : req;
}

void *side_one(struct side *side, enum capi_op op, const char *name,
	       const void *near, uint64_t far, size_t len_bytes,
	       const void *note, size_t note_len)
{
	struct piece_pair piece = {near, far, len_bytes};

	return side_request(side, op, name, &piece, 1, note, note_len);
}

void *side_list(struct side *side, const char *name,
		const struct piece_pair *pieces, size_t n)
{
	void *list = make_list(side, pieces, n, !name[0]), *handle;

	MUST(prep_xfer_dlist(side->agent, name, list, &handle, side->args));
	MUST(destroy_xfer_dlist(list));
	return handle;
}

int side_post(struct side *side, void *req)
{
	return capi()->post_xfer_req(side->agent, req, NULL);
}

int side_post_note(struct side *side, void *req, const void *note,
		   size_t note_len)
{
	void *args;

	MUST(create_opt_args(&args));
	set_note(args, note, note_len);
	int err = capi()->post_xfer_req(side->agent, req, args);

	MUST(destroy_opt_args(args));
	return err;
}

int side_wait(struct side *side, void *req, int timeout_ms)
{
	uint64_t end = test_now_ns() + (uint64_t)timeout_ms * 1000000;
	int status;

	do {
		status = capi()->get_xfer_status(side->agent, req);
	} while (status == CAPI_IN_PROGRESS && test_now_ns() < end);
	return status;
}

void side_run(struct side *side, void *req)
{
	CHECK(req);
	CHECK(side_post(side, req) >= 0);
	CHECK_EQ(side_wait(side, req, SOON), 0);
}

void side_release(struct side *side, void *req)
{
	MUST(release_xfer_req(side->agent, req));
	MUST(destroy_xfer_req(req));
}

/* ---- notifications ---------------------------------------------------- */

static void append(struct side *side, const char *from, size_t i)
{
	struct note *note = calloc(1, sizeof(*note)), **at = &side->queue;
	const void *data;

	CHECK(note);
	MUST(notif_map_get_notif(side->notes, from, i, &data,
				 &note->len_bytes));
	snprintf(note->from, sizeof(note->from), "%s", from);
	note->data = malloc(note->len_bytes + 1);
	CHECK(note->data);
	memcpy(note->data, data, note->len_bytes);
	while (*at)
		at = &(*at)->next;
	*at = note;
}

static void fetch(struct side *side)
{
	const char *from;
	size_t n_agents, n_notes;

	MUST(notif_map_clear(side->notes));
	MUST(get_notifs(side->agent, side->notes, side->args));
	MUST(notif_map_size(side->notes, &n_agents));
	for (size_t k = 0; k < n_agents; k++) {
		MUST(notif_map_get_agent_at(side->notes, k, &from));
		MUST(notif_map_get_notifs_size(side->notes, from, &n_notes));
		for (size_t i = 0; i < n_notes; i++)
			append(side, from, i);
	}
}

struct note *side_note(struct side *side, int timeout_ms)
{
	uint64_t end = test_now_ns() + (uint64_t)timeout_ms * 1000000;
	struct note *note;

	do {
		if (!side->queue)
			fetch(side);
		note = side->queue;
	} while (!note && test_now_ns() < end);
	if (note)
		side->queue = note->next;
	return note;
}

void side_note_free(struct note *note)
{
	if (note)
		free(note->data);
	free(note);
}

void side_want_note(struct side *side, const char *from, const void *data,
		    size_t len_bytes)
{
	struct note *note = side_note(side, SOON);

	CHECK(note);
	CHECK_STR(note->from, from);
	CHECK_EQ(note->len_bytes, len_bytes);
	CHECK_MEM(note->data, data, len_bytes);
	side_note_free(note);
}

void side_want_none(struct side *side, int within_ms)
{
	CHECK(!side_note(side, within_ms));
}

void side_tell(struct side *side, const char *name, const void *data,
	       size_t len_bytes)
{
	MUST(gen_notif(side->agent, name, data, len_bytes, side->args));
}
