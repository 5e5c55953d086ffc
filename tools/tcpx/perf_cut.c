/* SPDX-License-Identifier: Apache-2.0 */
/* Two sessions work with the lesser of both settings: what the client asked
 * for, and did not get because the server says less; or, of rails, because
 * there are no more. */
#include "perf.h"

#include "common/size.h"
#include "common/wrap.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

struct limit {
	const char *setting, *key; /* in tcpx config; in a description */
	const char *option;
	bool is_size;
};

enum { FLOWS, RAILS, CHUNK, WINDOW, N_LIMITS };

static const struct limit limits[N_LIMITS] = {
	[FLOWS] = {"n_flows", "flows", "channels", false},
	[RAILS] = {"n_rails", "rails", "rails", false},
	[CHUNK] = {"chunk_bytes", "chunk_bytes", "chunk", true},
	[WINDOW] = {"window_chunks", "window_chunks", "window", false},
};

/* On the command line; what is there may be the default, too. */
static bool is_option(const struct session_options *o,
		      const struct limit *limit)
{
	const uint32_t given[N_LIMITS] = {[FLOWS] = o->n_flows,
					  [RAILS] = o->n_rails,
					  [CHUNK] = o->chunk_bytes,
					  [WINDOW] = o->window_chunks};

	return given[limit - limits] > 0;
}

/* A transport with lanes of its own may have more of them than was agreed. */
static json_int_t most_flows(const json_t *path)
{
	const json_t *pair, *rail;
	json_int_t most = 0, n;
	size_t i, k;

	json_array_foreach(json_object_get(path, "pairs"), i, pair)
	{
		json_array_foreach(json_object_get(pair, "rails"), k, rail)
		{
			n = json_integer_value(json_object_get(rail, "flows"));
			most = n > most ? n : most;
		}
	}
	return most;
}

static json_int_t most_rails(const json_t *path)
{
	const json_t *pair;
	json_int_t most = 0, n;
	size_t i;

	json_array_foreach(json_object_get(path, "pairs"), i, pair)
	{
		n = (json_int_t)json_array_size(json_object_get(pair, "rails"));
		most = n > most ? n : most;
	}
	return most;
}

static json_int_t agreed(const struct limit *limit, const json_t *path)
{
	json_int_t n = json_integer_value(
		json_object_get(json_object_get(path, "limits"), limit->key));
	json_int_t flows = limit == &limits[FLOWS] ? most_flows(path) : 0;

	return flows > n ? flows : n;
}

static const char *show(const struct limit *limit, json_int_t n, char *buf,
			size_t cap_bytes)
{
	if (limit->is_size)
		return size_format((uint64_t)n, buf, cap_bytes);
	snprintf(buf, cap_bytes, "%lld", (long long)n);
	return buf;
}

static void add(json_t *all, const struct limit *limit, const json_t *setting,
		json_int_t asked, json_int_t got, bool few_networks)
{
	const char *variable =
		json_string_value(json_object_get(setting, "variable"));
	char a[32], g[32], why[128], line[256];

	show(limit, asked, a, sizeof(a));
	show(limit, got, g, sizeof(g));
	if (few_networks)
		snprintf(
			why, sizeof(why),
			"no more networks reach from one end to the other; tcpx "
			"info lists those of each");
	else
		snprintf(why, sizeof(why),
			 "the server allows no more; start it with --%s %s, or "
			 "%s=%s",
			 limit->option, a, variable, a);
	json_array_append_new(all, json_pack("{ss ss sI sI ss}", "setting",
					     limit->setting, "variable",
					     variable, "asked", asked, "got",
					     got, "why", why));
	snprintf(line, sizeof(line), "note: %s: %s asked for, %s got: %s",
		 limit->option, a, g, why);
	text_wrap(stderr, 0, 2, line);
}

static void look(json_t *all, const struct perf_options *o,
		 const json_t *setting, const json_t *path)
{
	const char *name = json_string_value(json_object_get(setting, "name"));
	const char *source =
		json_string_value(json_object_get(setting, "source"));
	json_int_t asked =
		json_integer_value(json_object_get(setting, "value"));
	json_int_t rails = most_rails(path);

	for (const struct limit *l = limits; l < limits + N_LIMITS; l++) {
		if (strcmp(l->setting, name) ||
		    !(is_option(&o->session, l) || strcmp(source, "default")))
			continue;
		if (agreed(l, path) < asked)
			add(all, l, setting, asked, agreed(l, path), false);
		else if (l == &limits[RAILS] && rails && rails < asked)
			add(all, l, setting, asked, rails, true);
	}
}

json_t *perf_cut(const struct perf_options *options,
		 const struct tcpx_config *config, const json_t *path)
{
	json_t *settings = report_settings_list(config), *one;
	json_t *all = json_array();
	size_t i;

	if (path) {
		json_array_foreach(settings, i, one)
			look(all, options, one, path);
	}
	json_decref(settings);
	return all;
}
