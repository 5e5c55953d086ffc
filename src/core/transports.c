/* SPDX-License-Identifier: Apache-2.0 */

/* Which transports there are, and whether each can be used here. */

#include <jansson.h>

#include "base/item.h"
#include "core/json.h"
#include "core/session.h"
#include "engine/engine.h"

struct checks {
	json_t *list;
	bool all_hold;
};

static void add_check(void *arg, const char *check, const char *why)
{
	struct checks *checks = arg;

	checks->all_hold = checks->all_hold && !why;
	json_add(&checks->list,
		 json_pack("{s:s, s:b, s:o}", "check", check, "holds", !why,
			   "why", why ? json_text(why) : json_null()));
}

static json_t *transport_json(struct tcpx_session *session,
			      const struct transport_ops *ops)
{
	const struct transport_params *params =
		&session->engine->params.transport;
	bool allowed = item_place(session->config->transports, ops->name) >= 0;
	bool open = engine_transport_find(session->engine, ops->name);
	struct checks checks = {json_array(), true};
	char why[512] = "";
	bool usable = !ops->probe(params, why, sizeof(why));

	if (usable)
		why[0] = '\0';
	if (ops->explain)
		ops->explain(params, add_check, &checks);
	return json_pack("{s:s, s:b, s:b, s:b, s:o, s:o}", "transport",
			 ops->name, "allowed", allowed, "open", open, "usable",
			 open || (usable && checks.all_hold), "why",
			 why[0] ? json_text(why) : json_null(), "checks",
			 checks.list);
}

int tcpx_session_transports(struct tcpx_session *session, char *buf,
			    size_t cap_bytes, size_t *len_bytes)
{
	const struct transport_ops *ops;
	json_t *list;

	if (!session_is_ours(session) || !len_bytes || (!buf && cap_bytes))
		return session_null(session, __func__);
	list = json_array();
	for (uint32_t i = 0; (ops = transport_at(i)); i++)
		json_add(&list, transport_json(session, ops));
	return json_give(list, buf, cap_bytes, len_bytes);
}
