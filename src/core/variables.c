/* SPDX-License-Identifier: Apache-2.0 */
#include "core/variables.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "core/settings.h"
#include "transport/transport.h"

/* ---- unknown ones ------------------------------------------------------ */

#define NEAR_MAX 3 /* letters that differ; more are no slip */

/* Read by the command, the pretend GPU or a plugin of others. */
static const char *const others[] = {
	"TCPX_DESCRIBE_DIR",	  "TCPX_GPU_HOST_DELAY_US",
	"TCPX_GPU_HOST_DEVICES",  "TCPX_GPU_HOST_FAULT",
	"TCPX_GPU_HOST_UNSHARED", "TCPX_NIXL_ANY_VERSION",
	"TCPX_NIXL_PYTHON",	  "TCPX_PERF_ITERS",
	"TCPX_PERF_SIZE",	  "UCCL_TCPX_PERF_ITERS",
	"UCCL_TCPX_PERF_SIZE",
};
#define N_OTHERS (sizeof(others) / sizeof(*others))

/* One that was found in the environment, and the known one next to it. */
struct search {
	const char *variable, *nearest;
	unsigned distance; /* 0: it is known */
};

static void look(struct search *search, const char *known)
{
	unsigned distance = parse_distance(search->variable, known);

	if (distance < search->distance) {
		search->distance = distance;
		search->nearest = known;
	}
}

static void look_at_all(struct search *search)
{
	for (size_t i = 0; i < n_settings; i++) {
		const struct setting *s = &settings[i];

		look(search, s->variable);
		for (int k = 0; k < 2 && s->aliases[k].variable; k++)
			look(search, s->aliases[k].variable);
	}
	for (size_t i = 0; i < N_OTHERS; i++)
		look(search, others[i]);
	for (uint32_t i = 0; transport_at(i); i++) {
		const struct transport_setting *s = transport_at(i)->settings;

		for (; s && s->variable; s++) {
			look(search, s->variable);
			if (s->alias)
				look(search, s->alias);
		}
	}
}

/* How many letters of it may differ from a known one's: a third of those behind
 * what all names begin with, for of few letters any name is near. */
static unsigned near_enough(const char *variable)
{
	size_t n = strlen(strstr(variable, "TCPX_") + strlen("TCPX_"));
	size_t third = (n + 1) / 3;

	return third < NEAR_MAX ? (unsigned)third : NEAR_MAX;
}

static bool is_ours(const char *variable)
{
	/* Those of the tests are whatever a test wants. */
	return (strncmp(variable, "TCPX_", 5) == 0 &&
		strncmp(variable, "TCPX_TEST_", 10) != 0) ||
	       strncmp(variable, "UCCL_TCPX_", 10) == 0;
}

void variables_warn(const struct log *log)
{
	for (char **e = environ; e && *e; e++) {
		size_t len = strcspn(*e, "=");
		char variable[128];
		struct search search = {variable, NULL, 0};

		if (!is_ours(*e))
			continue;
		snprintf(variable, sizeof(variable), "%.*s", (int)len, *e);
		search.distance = near_enough(variable) + 1;
		look_at_all(&search);
		if (search.distance == 0)
			continue;
		log_warn(log, "config", "unknown variable %s%s%s", variable,
			 search.nearest ? "; did you mean " : "",
			 search.nearest ? search.nearest : "");
	}
}

/* ---- the transports' own ----------------------------------------------- */

/* TCPX_NETPLUGIN_MAP -> netplugin_map */
static const char *name_of(const struct transport_setting *s, char *buf,
			   size_t cap_bytes)
{
	snprintf(buf, cap_bytes, "%s", s->variable + strlen("TCPX_"));
	for (char *c = buf; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return buf;
}

static const char *allowed_of(const struct transport_setting *s, char *buf,
			      size_t cap_bytes)
{
	if (s->kind == TRANSPORT_SETTING_NUMBER)
		snprintf(buf, cap_bytes, "%llu to %llu",
			 (unsigned long long)s->min,
			 (unsigned long long)s->max);
	else
		snprintf(buf, cap_bytes, "%s",
			 s->allowed ? s->allowed :
				      "1, yes, true, on, 0, no, false, off");
	return buf;
}

static json_t *default_of(const struct transport_setting *s)
{
	if (s->kind == TRANSPORT_SETTING_NUMBER)
		return json_integer((json_int_t)s->def);
	return s->kind == TRANSPORT_SETTING_BOOL ? json_boolean(s->def) :
						   json_null();
}

/* What the transport would make of it; NULL: it would refuse it. */
static json_t *parse(const struct transport_setting *s, const char *text)
{
	uint64_t n;
	bool on;

	switch (s->kind) {
	case TRANSPORT_SETTING_NUMBER:
		return transport_setting_number(s, text, &n) ?
			       json_integer((json_int_t)n) :
			       NULL;
	case TRANSPORT_SETTING_BOOL:
		return parse_bool(text, &on) ? json_boolean(on) : NULL;
	default:
		return json_string(text);
	}
}

/* A bad one stays what it is: the transport will not be there. */
static json_t *value_of(const struct transport_setting *s, const char *text)
{
	json_t *json = text ? parse(s, text) : default_of(s);

	if (!json)
		json = json_string(text);
	return json ? json : json_string("(not UTF-8)");
}

/* Which of its names is set; NULL: none. */
static const char *set_by(const struct transport_setting *s)
{
	const char *names[] = {s->variable, s->alias};

	for (int i = 0; i < 2 && names[i]; i++) {
		const char *text = getenv(names[i]);

		if (text && *text)
			return names[i];
	}
	return NULL;
}

static json_t *row(const struct transport_setting *s)
{
	const char *from = set_by(s);
	char name[64], allowed[128];
	json_t *aliases = s->alias ? json_pack("[s]", s->alias) : json_array();

	return json_pack("{s:s, s:s, s:o, s:o, s:n, s:o, s:s, s:s, s:s?, s:s}",
			 "name", name_of(s, name, sizeof(name)), "variable",
			 s->variable, "aliases", aliases, "value",
			 value_of(s, from ? getenv(from) : NULL), "here",
			 "default", default_of(s), "allowed",
			 allowed_of(s, allowed, sizeof(allowed)), "source",
			 from ? "environment" : "default", "from", from, "help",
			 s->help);
}

static int check(const struct transport_setting *s, const struct log *log)
{
	const char *from = set_by(s);
	char allowed[128];
	json_t *value;

	if (!from || s->kind == TRANSPORT_SETTING_TEXT)
		return 0;
	value = parse(s, getenv(from));
	if (value) {
		json_decref(value);
		return 0;
	}
	log_error(log, "config", "%s is \"%s\"; allowed: %s", from,
		  getenv(from), allowed_of(s, allowed, sizeof(allowed)));
	return TCPX_EINVAL;
}

int variables_check(const struct log *log)
{
	int rc = 0;

	for (uint32_t i = 0; transport_at(i); i++) {
		const struct transport_setting *s = transport_at(i)->settings;

		for (; s && s->variable; s++)
			if (check(s, log))
				rc = TCPX_EINVAL;
	}
	return rc;
}

int variables_rows(json_t *array)
{
	for (uint32_t i = 0; transport_at(i); i++) {
		const struct transport_setting *s = transport_at(i)->settings;

		for (; s && s->variable; s++)
			if (json_array_append_new(array, row(s)) != 0)
				return TCPX_ENOMEM;
	}
	return 0;
}
