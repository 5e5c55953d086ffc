/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/item.h"

/* ---- transports ------------------------------------------------------- */

static int try_transport(struct engine *engine, const struct transport_ops *ops,
			 char *why, size_t cap_bytes,
			 struct transport **transport)
{
	struct transport_params params = engine->params.transport;
	int err = ops->probe(&params, why, cap_bytes);

	if (err) {
		log_warn(engine->params.log, "engine",
			 "transport %s cannot be used: %s", ops->name, why);
		return TCPX_EUNSUPPORTED;
	}
	params.why = why;
	params.why_bytes = cap_bytes;
	return ops->open(&params, transport); /* says why not by itself */
}

static int open_transport(struct engine *engine,
			  const struct transport_ops *ops)
{
	struct engine_transport *via =
		&engine->transports[engine->n_transports];
	struct engine_refused *refused = &engine->refused[engine->n_refused];

	if (engine->n_transports + engine->n_refused == ENGINE_TRANSPORTS_MAX)
		return TCPX_EINTERNAL;
	int err = try_transport(engine, ops, refused->why, sizeof(refused->why),
				&via->transport);

	if (err == TCPX_EUNSUPPORTED) {
		refused->ops = ops;
		engine->n_refused++;
		return 0;
	}
	if (err)
		return err;
	via->ops = ops;
	via->caps = transport_caps(ops);
	ops->limits(via->transport, &via->limits);
	engine->n_transports++;
	return 0;
}

static const struct transport_ops *find_ops(const struct item *item)
{
	char name[32];

	return item_copy(item, name, sizeof(name)) ? transport_find(name) :
						     NULL;
}

static bool is_known(const struct engine *engine,
		     const struct transport_ops *ops)
{
	for (uint32_t i = 0; i < engine->n_transports; i++)
		if (engine->transports[i].ops == ops)
			return true;
	for (uint32_t i = 0; i < engine->n_refused; i++)
		if (engine->refused[i].ops == ops)
			return true;
	return false;
}

static int open_transports(struct engine *engine)
{
	const char *names = engine->params.transports;
	struct item item;

	while (item_next(&names, &item)) {
		const struct transport_ops *ops = find_ops(&item);

		if (ops && is_known(engine, ops))
			continue; /* named twice */
		if (!ops) {
			log_error(engine->params.log, "engine",
				  "there is no transport %.*s",
				  (int)item.len_bytes, item.text);
			return TCPX_EINVAL;
		}
		int err = open_transport(engine, ops);

		if (err)
			return err;
	}
	if (!engine->n_transports) {
		log_error(engine->params.log, "engine",
			  "none of the transports \"%s\" can be used",
			  engine->params.transports);
		return TCPX_EUNSUPPORTED;
	}
	return 0;
}

struct engine_transport *engine_transport_find(struct engine *engine,
					       const char *name)
{
	for (uint32_t i = 0; i < engine->n_transports; i++)
		if (!strcmp(engine->transports[i].ops->name, name))
			return &engine->transports[i];
	return NULL;
}

/* ---- contexts --------------------------------------------------------- */

static int open_contexts(struct engine *engine)
{
	uint32_t n = engine->params.n_contexts;

	if (!n || n > ENGINE_CONTEXTS_MAX)
		return TCPX_EINTERNAL;
	engine->contexts =
		aligned_alloc(CACHE_LINE_BYTES, n * sizeof(*engine->contexts));
	if (!engine->contexts)
		return TCPX_ENOMEM;
	for (; engine->n_contexts < n; engine->n_contexts++) {
		int err = context_init(&engine->contexts[engine->n_contexts],
				       engine->n_contexts, &engine->wakeups,
				       engine->params.busy_poll_us,
				       engine->params.stream_poll_us);

		if (err)
			return err;
	}
	if (!engine->params.workers) /* then there is one */
		engine->wakeups.set_fd = engine->contexts[0].epfd;
	for (uint32_t i = 0; engine->params.workers && i < n; i++) {
		int err = context_start_worker(&engine->contexts[i]);

		if (err)
			return err;
	}
	return 0;
}

int engine_create(const struct engine_params *params,
		  const struct engine_ops *ops, void *arg, struct engine **out)
{
	struct engine *engine =
		aligned_alloc(CACHE_LINE_BYTES, sizeof(*engine));

	if (!engine)
		return TCPX_ENOMEM;
	*engine = (struct engine){.params = *params, .ops = ops, .arg = arg};
	spares_init(&engine->spares);
	wakeups_init(&engine->wakeups);
	int err = open_transports(engine);

	if (!err)
		err = open_contexts(engine);
	if (err) {
		engine_stop(engine);
		engine_destroy(engine);
		return err;
	}
	*out = engine;
	return 0;
}

void engine_stop(struct engine *engine)
{
	for (uint32_t i = 0; i < engine->n_contexts; i++)
		context_stop_worker(&engine->contexts[i]);
}

void engine_destroy(struct engine *engine)
{
	for (uint32_t i = 0; i < engine->n_transports; i++)
		engine->transports[i].ops->close(
			engine->transports[i].transport);
	for (uint32_t i = 0; i < engine->n_contexts; i++)
		context_fini(&engine->contexts[i]);
	spares_fini(&engine->spares);
	wakeups_fini(&engine->wakeups);
	free(engine->contexts);
	free(engine);
}

struct context *engine_next_context(struct engine *engine)
{
	uint32_t i = add_relaxed(&engine->next_context, 1);

	return &engine->contexts[i % engine->n_contexts];
}

bool engine_visit(struct engine *engine)
{
	bool did = false;

	for (uint32_t i = 0; i < engine->n_contexts; i++)
		did |= context_visit(&engine->contexts[i]);
	return did;
}

static void visit_a_home(struct engine *engine)
{
	uint32_t turn = load_relaxed(&engine->pace.turn);

	for (uint32_t i = 0; i < engine->n_contexts; i++, turn++) {
		struct context *ctx =
			&engine->contexts[turn % engine->n_contexts];

		if (!load_relaxed(&ctx->n_homes))
			continue;
		store_relaxed(&engine->pace.turn, turn + 1);
		context_visit_paced(ctx, &engine->pace);
		return;
	}
}

void engine_visit_now_and_then(struct engine *engine)
{
	if (pace_is_due(&engine->pace))
		visit_a_home(engine);
}

/* Workers drive the others, if there are any, and call who waits here. */
int engine_drive(struct engine *engine, bool (*done)(void *), void *arg,
		 uint64_t deadline_ns)
{
	return context_watch(&engine->contexts[0], done, arg, deadline_ns);
}

void engine_tell(struct engine *engine, uint32_t kind)
{
	context_call_sleepers(&engine->contexts[0]);
	wakeups_tell(&engine->wakeups, kind);
}

void engine_announce(struct engine *engine)
{
	context_call(&engine->contexts[0]);
	for (uint32_t i = 1; i < engine->n_contexts; i++) {
		context_announce(&engine->contexts[i]);
		context_kick(&engine->contexts[i]);
	}
}

/* ---- event loops ------------------------------------------------------ */

/* Nothing is to be done now, or others will do it. */
static bool may_rest(struct engine *engine, struct wakeup *wakeup)
{
	uint64_t nap_ns;

	if (engine->params.workers) {
		for (uint32_t i = 0; i < engine->n_contexts; i++)
			context_hand_over(&engine->contexts[i]);
		return true;
	}
	if (!context_may_rest(&engine->contexts[0], &nap_ns))
		return false;
	wakeup_after(&engine->wakeups, wakeup, nap_ns);
	return true;
}

int engine_arm(struct engine *engine, int fd, uint32_t wanted)
{
	struct wakeup *wakeup = wakeup_find(&engine->wakeups, fd);

	if (!wakeup)
		return TCPX_ENOENT;
	if (!wakeup_arm(&engine->wakeups, wakeup, wanted))
		return TCPX_EAGAIN;
	if (may_rest(engine, wakeup))
		return 0;
	wakeup_disarm(&engine->wakeups, wakeup);
	return TCPX_EAGAIN;
}

void engine_disarm(struct engine *engine, int fd)
{
	struct wakeup *wakeup = wakeup_find(&engine->wakeups, fd);

	if (wakeup)
		wakeup_disarm(&engine->wakeups, wakeup);
}
