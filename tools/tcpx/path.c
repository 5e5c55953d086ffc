/* SPDX-License-Identifier: Apache-2.0 */
#include "path.h"

#include "open.h"

#include <stdlib.h>
#include <string.h>

struct target {
	struct tcpx_session *session;
	uint64_t peer;
};

static int describe(void *arg, char *buf, size_t cap_bytes, size_t *len_bytes)
{
	struct target *target = arg;

	return tcpx_peer_describe(target->session, target->peer, buf, cap_bytes,
				  len_bytes);
}

json_t *path_describe(struct tcpx_session *session, uint64_t peer)
{
	struct target target = {session, peer};

	return json_from_library("the description of the peer", describe,
				 &target);
}

static const char *text_of(const json_t *object, const char *key,
			   const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : otherwise;
}

static unsigned number_of(const json_t *object, const char *key)
{
	return (unsigned)json_integer_value(json_object_get(object, key));
}

static unsigned rails_of(const json_t *pair)
{
	return (unsigned)json_array_size(json_object_get(pair, "rails"));
}

/* The pair that carries what this side sends. */
static const json_t *main_pair(const json_t *description)
{
	const json_t *pairs = json_object_get(description, "pairs"), *pair;
	size_t i;

	json_array_foreach(pairs, i,
			   pair) if (strcmp(text_of(pair, "direction", "both"),
					    "in")) return pair;
	return json_array_get(pairs, 0);
}

void path_query(struct tcpx_session *session, uint64_t peer,
		struct path_summary *summary)
{
	json_t *description = path_describe(session, peer);
	const json_t *pair = main_pair(description);

	snprintf(summary->transport, sizeof(summary->transport), "%s",
		 text_of(pair, "transport", "?"));
	summary->n_rails = rails_of(pair);
	summary->n_flows = number_of(pair, "flows");
	if (!summary->n_rails)
		summary->n_rails = 1;
	if (!summary->n_flows)
		summary->n_flows = 1;
	json_decref(description);
}

static void draw_rails(FILE *out, const json_t *pair)
{
	const char *transport = text_of(pair, "transport", "nothing");
	const json_t *rail;
	const char *remote;
	unsigned n_flows;
	size_t i;

	if (!rails_of(pair))
		fprintf(out, "        |  %s, %u flows\n", transport,
			number_of(pair, "flows"));
	json_array_foreach(json_object_get(pair, "rails"), i, rail)
	{
		remote = text_of(rail, "remote", NULL);
		n_flows = number_of(rail, "flows");
		fprintf(out, "        |  %s, rail %u: %s%s%s, %u flow%s\n",
			transport, number_of(rail, "rail"),
			text_of(rail, "ifname", "?"), remote ? " to " : "",
			remote ? remote : "", n_flows, n_flows == 1 ? "" : "s");
	}
}

static void draw_rejected(FILE *out, const json_t *pair)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(pair, "rejected"), i, one)
		fprintf(out, "  not by %s: %s\n",
			text_of(one, "transport", "?"),
			text_of(one, "why", "no reason given"));
}

/*
 *   [ name ] host memory
 *        |
 *        |  socket, rail 0: eth1 to 10.0.0.7, 2 flows
 *        |
 *   [ name ] host memory
 */
static void draw_pair(FILE *out, const char *own_name, const char *peer_name,
		      const json_t *pair)
{
	fprintf(out, "  [ %s ] %s memory\n        |\n", own_name,
		text_of(pair, "local", "host"));
	draw_rails(out, pair);
	fprintf(out, "        |\n  [ %s ] %s memory\n\n", peer_name,
		text_of(pair, "remote", "host"));
	fprintf(out, "  by %s: %s\n", text_of(pair, "transport", "nothing"),
		text_of(pair, "why", "no reason given"));
	draw_rejected(out, pair);
}

void path_draw(FILE *out, const char *own_name, const json_t *description)
{
	const json_t *pair;
	size_t i;

	json_array_foreach(json_object_get(description, "pairs"), i, pair)
		draw_pair(out, own_name, text_of(description, "name", "peer"),
			  pair);
}
