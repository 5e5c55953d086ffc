/* SPDX-License-Identifier: Apache-2.0 */
#include "path.h"

#include "common/wrap.h"
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

/* Is the pair's device that one? Whatever it is called: "host", or with the
 * number of the GPU. */
static bool is_at(const json_t *pair, const char *key,
		  const struct place *place)
{
	const char *device = text_of(pair, key, "host"), *digits;
	bool host = !strcmp(device, "host");

	if (host || place->kind == PLACE_HOST)
		return host && place->kind == PLACE_HOST;
	digits = strpbrk(device, "0123456789");
	return digits && strtoul(digits, NULL, 10) == place->index;
}

/* The pair that carries what is measured; without it the first one. */
static const json_t *find_pair(const json_t *description,
			       const struct place *local,
			       const struct place *remote)
{
	const json_t *pairs = json_object_get(description, "pairs"), *pair;
	size_t i;

	json_array_foreach(pairs, i, pair)
	{
		if (is_at(pair, "local", local) &&
		    is_at(pair, "remote", remote))
			return pair;
	}
	return json_array_get(pairs, 0);
}

static void find_ways(const json_t *pair, struct path_summary *summary)
{
	const json_t *rail;
	struct path_way *way;
	size_t i;

	summary->n_ways = 0;
	json_array_foreach(json_object_get(pair, "rails"), i, rail)
	{
		if (summary->n_ways == PATH_WAYS_MAX ||
		    !text_of(rail, "remote", NULL))
			continue;
		way = &summary->ways[summary->n_ways++];
		snprintf(way->local, sizeof(way->local), "%s",
			 text_of(rail, "local", ""));
		snprintf(way->remote, sizeof(way->remote), "%s",
			 text_of(rail, "remote", ""));
	}
}

void path_query(struct tcpx_session *session, uint64_t peer,
		const struct place *local, const struct place *remote,
		struct path_summary *summary)
{
	json_t *description = path_describe(session, peer);
	const json_t *pair = find_pair(description, local, remote);

	snprintf(summary->transport, sizeof(summary->transport), "%s",
		 text_of(pair, "transport", "?"));
	summary->n_rails = rails_of(pair);
	summary->n_flows = number_of(pair, "flows");
	find_ways(pair, summary);
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
	const char *remote, *detour, *how;
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
		detour = text_of(rail, "detour", NULL);
		if (detour)
			fprintf(out, "        |    %s\n", detour);
		how = text_of(rail, "how", NULL);
		if (how)
			fprintf(out, "        |    %s\n", how);
	}
}

/* loop and loop-scatter stay inside one process: for tests and for reading.
 * Who asked for one wants to know why it was not taken. */
static bool matters(const struct path_view *view, const char *transport)
{
	return view->all || strncmp(transport, "loop", 4) ||
	       (view->allowed && strstr(view->allowed, "loop"));
}

static void draw_rejected(FILE *out, const struct path_view *view,
			  const json_t *pair)
{
	const json_t *one;
	const char *transport;
	char text[320];
	size_t i;

	json_array_foreach(json_object_get(pair, "rejected"), i, one)
	{
		transport = text_of(one, "transport", "?");
		if (!matters(view, transport))
			continue;
		snprintf(text, sizeof(text), "not by %s: %s", transport,
			 text_of(one, "why", "no reason given"));
		text_wrap(out, 2, 4, text);
	}
}

/* A way that serves all devices alike carried what was in use. */
static const char *memory_of(const json_t *pair, const char *key,
			     const char *in_use)
{
	bool alike = !strcmp(text_of(pair, "direction", ""), "both");

	return alike && in_use ? in_use : text_of(pair, key, "host");
}

/*
 *   [ name ] host memory
 *        |
 *        |  socket, rail 0: eth1 to 10.0.0.7, 2 flows
 *        |
 *   [ name ] host memory
 */
static void draw_pair(FILE *out, const struct path_view *view,
		      const char *peer_name, const json_t *pair)
{
	char text[320];

	fprintf(out, "  [ %s ] %s memory\n        |\n", view->own_name,
		memory_of(pair, "local", view->mem));
	draw_rails(out, pair);
	fprintf(out, "        |\n  [ %s ] %s memory\n\n", peer_name,
		memory_of(pair, "remote", view->peer_mem));
	snprintf(text, sizeof(text), "by %s: %s",
		 text_of(pair, "transport", "nothing"),
		 text_of(pair, "why", "no reason given"));
	text_wrap(out, 2, 4, text);
	draw_rejected(out, view, pair);
}

/* Each way of the two has its own pair where they differ. */
static bool is_wanted(const struct path_view *view, const json_t *description,
		      const json_t *pair)
{
	const json_t *found;

	if (view->all || !view->only_local)
		return true;
	found = find_pair(description, view->only_local, view->only_remote);
	return !strcmp(text_of(pair, "local", "host"),
		       text_of(found, "local", "host")) &&
	       !strcmp(text_of(pair, "remote", "host"),
		       text_of(found, "remote", "host"));
}

void path_draw(FILE *out, const struct path_view *view,
	       const json_t *description)
{
	const json_t *pair;
	bool any = false;
	size_t i;

	json_array_foreach(json_object_get(description, "pairs"), i, pair)
	{
		if (!is_wanted(view, description, pair))
			continue;
		if (any)
			fputc('\n', out);
		any = true;
		draw_pair(out, view, text_of(description, "name", "peer"),
			  pair);
	}
}
