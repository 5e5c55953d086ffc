/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"
#include "core/settings.h"
#include "core/variables.h"

static size_t shorter(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Where a value came from: the variable, and whether it is an older name. */
struct source {
	const char *variable;
	const char *text;
	bool alias;
};

static const char *env_get(const char *variable)
{
	const char *text = variable ? getenv(variable) : NULL;

	return text && *text ? text : NULL;
}

/* What the environment says about s; the own name beats its aliases. */
static bool source_find(const struct setting *s, struct source *source)
{
	const char *text = env_get(s->variable);

	if (text) {
		*source = (struct source){s->variable, text, false};
		return true;
	}
	for (int i = 0; i < 2; i++) {
		const struct setting_alias *alias = &s->aliases[i];

		text = env_get(alias->variable);
		if (!text || (alias->means && strcmp(text, "0") == 0))
			continue;
		*source = (struct source){alias->variable,
					  alias->means ? alias->means : text,
					  true};
		return true;
	}
	return false;
}

/* A bad alias is passed over; of the rest the caller decides what becomes. */
static void complain(const struct setting *s, const struct source *source,
		     const struct tcpx_config *config, const struct log *log)
{
	const char *value = s->kind == SETTING_SECRET ? "(hidden)" :
							source->text;
	char allowed[128], kept[160];
	struct text a, k;

	text_init(&a, allowed, sizeof(allowed));
	setting_show_allowed(s, &a);
	text_init(&k, kept, sizeof(kept));
	setting_show(s, config, &k);
	if (source->alias)
		log_warn(log, "config", "%s is \"%s\"; allowed: %s; using %s",
			 source->variable, value, allowed, kept);
	else
		log_error(log, "config", "%s is \"%s\"; allowed: %s",
			  source->variable, value, allowed);
}

/* One setting from its default and the environment. A bad value under an
 * older name is only warned about: NCCL's variables are not set for us. */
static int setting_from_env(const struct setting *s, struct tcpx_config *config,
			    const struct log *log)
{
	struct source source;

	setting_default(s, config);
	if (!source_find(s, &source))
		return 0;
	if (!setting_parse(s, config, source.text)) {
		complain(s, &source, config, log);
		return source.alias ? 0 : TCPX_EINVAL;
	}
	if (source.alias)
		log_info(log, "config", "%s is an older name of %s",
			 source.variable, s->variable);
	return 0;
}

/* Can a struct of this length be a program's? */
static bool size_is_sane(size_t size_bytes, const struct log *log)
{
	if (size_bytes >= sizeof(size_bytes) &&
	    size_bytes <= 16 * sizeof(struct tcpx_config))
		return true;
	log_error(log, "config",
		  "size_bytes is %zu, not sizeof(struct tcpx_config)",
		  size_bytes);
	return false;
}

int tcpx_config_init_sized(struct tcpx_config *config, size_t size_bytes,
			   tcpx_log_fn log_fn, void *log_arg)
{
	struct log log = {.fn = log_fn, .arg = log_arg, .level = TCPX_LOG_WARN};
	struct tcpx_config full = {
		.size_bytes = size_bytes, .log_fn = log_fn, .log_arg = log_arg};
	int rc = 0;

	if (!config || !size_is_sane(size_bytes, &log))
		return TCPX_EINVAL;
	for (size_t i = 0; i < n_settings; i++) {
		if (setting_from_env(&settings[i], &full, &log) != 0)
			rc = TCPX_EINVAL;
		/* The first row is log_level itself. None does not hide why
		 * this fails: nobody else says it. */
		log.level = full.log_level ? full.log_level : TCPX_LOG_ERROR;
	}
	if (variables_check(&log))
		rc = TCPX_EINVAL;
	variables_warn(&log);
	memset(config, 0, size_bytes);
	memcpy(config, &full, shorter(size_bytes, sizeof(full)));
	return rc;
}

void config_log(const struct tcpx_config *config, struct log *log)
{
	size_t end = config->size_bytes;

	memset(log, 0, sizeof(*log));
	if (end >= offsetof(struct tcpx_config, log_arg) + sizeof(void *))
		*log = (struct log){.fn = config->log_fn,
				    .arg = config->log_arg,
				    .level = config->log_level};
}

/* Fills what an older, smaller struct of the program does not have. */
static int complete(const struct tcpx_config *from, const struct log *log,
		    struct tcpx_config *config)
{
	size_t end = from->size_bytes;

	if (!size_is_sane(end, log))
		return TCPX_EINVAL;
	memset(config, 0, sizeof(*config));
	memcpy(config, from, shorter(end, sizeof(*config)));
	for (size_t i = 0; i < n_settings; i++) {
		const struct setting *s = &settings[i];
		size_t width = s->kind == SETTING_PORTS ? 2 * s->width_bytes :
							  s->width_bytes;

		if (s->offset + width > end)
			setting_default(s, config);
	}
	config->size_bytes = sizeof(*config);
	return 0;
}

static int check(const struct tcpx_config *config, const struct log *log)
{
	char value[160], allowed[128];
	struct text v, a;
	int rc = 0;

	for (size_t i = 0; i < n_settings; i++) {
		const struct setting *s = &settings[i];

		if (setting_valid(s, config))
			continue;
		text_init(&v, value, sizeof(value));
		setting_show(s, config, &v);
		text_init(&a, allowed, sizeof(allowed));
		setting_show_allowed(s, &a);
		log_error(log, "config", "%s (%s) is %s; allowed: %s", s->name,
			  s->variable, value, allowed);
		rc = TCPX_EINVAL;
	}
	return rc;
}

/* "host-pid", the name of a session that was not given one. */
static char *default_name(void)
{
	char host[TCPX_NAME_MAX], name[TCPX_NAME_MAX];

	if (gethostname(host, sizeof(host)) != 0)
		strcpy(host, "host");
	host[sizeof(host) - 1] = '\0';
	snprintf(name, sizeof(name), "%.50s-%d", host, (int)getpid());
	utf8_clean(name, strlen(name));
	return strdup(name);
}

/* Replaces the program's strings by our own, all or none; where it has none,
 * the default's. */
static int own_strings(struct tcpx_config *config)
{
	bool failed = false;

	for (size_t i = 0; i < n_settings; i++) {
		const char **text;

		if (!setting_is_text(&settings[i]))
			continue;
		text = setting_text(&settings[i], config);
		if (!*text)
			*text = settings[i].def_text;
		if (*text) {
			*text = failed ? NULL : strdup(*text);
			failed = failed || !*text;
		}
	}
	if (!config->name && !failed)
		failed = !(config->name = default_name());
	return failed ? TCPX_ENOMEM : 0;
}

int config_copy(const struct tcpx_config *from, struct log *log,
		struct tcpx_config **to)
{
	struct tcpx_config *config = malloc(sizeof(*config));
	int rc;

	if (!config)
		return TCPX_ENOMEM;
	rc = complete(from, log, config);
	if (!rc)
		rc = check(config, log);
	if (rc) {
		free(config); /* its strings are still the program's */
		return rc;
	}
	rc = own_strings(config);
	if (rc) {
		config_free(config);
		return rc;
	}
	*to = config;
	return 0;
}

void config_free(struct tcpx_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < n_settings; i++) {
		const char **text;

		if (!setting_is_text(&settings[i]))
			continue;
		text = setting_text(&settings[i], config);
		if (*text && settings[i].kind == SETTING_SECRET)
			explicit_bzero((char *)(uintptr_t)*text, strlen(*text));
		free((char *)(uintptr_t)*text);
	}
	free(config);
}

/* Where the value in force is from; *variable: the one that set it, under the
 * name it has in the environment, or NULL. */
static const char *source_name(const struct setting *s,
			       const struct tcpx_config *config,
			       const struct tcpx_config *defaults,
			       const char **variable)
{
	struct tcpx_config env = *defaults;
	struct source source;

	*variable = NULL;
	if (source_find(s, &source) && setting_parse(s, &env, source.text) &&
	    setting_same(s, config, &env)) {
		*variable = source.variable;
		return "environment";
	}
	return setting_same(s, config, defaults) ? "default" : "program";
}

static json_t *aliases_json(const struct setting *s)
{
	json_t *array = json_array();

	for (int i = 0; i < 2 && s->aliases[i].variable; i++) {
		if (json_array_append_new(
			    array, json_string(s->aliases[i].variable)) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* What an automatic value comes to; null: it is not automatic. */
static json_t *here_json(const struct setting *s,
			 const struct tcpx_config *config,
			 const struct tcpx_config *defaults)
{
	return s->here && setting_same(s, config, defaults) ?
		       json_integer(s->here(config)) :
		       json_null();
}

/* A row of the array; NULL: out of memory (json_pack frees what it took). */
static json_t *row_json(const struct setting *s,
			const struct tcpx_config *config,
			const struct tcpx_config *defaults)
{
	const char *source, *variable;
	char buf[128];
	struct text allowed;

	source = source_name(s, config, defaults, &variable);
	text_init(&allowed, buf, sizeof(buf));
	setting_show_allowed(s, &allowed);
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:s?, s:s}",
			 "name", s->kind == SETTING_PORTS ? "port" : s->name,
			 "variable", s->variable, "aliases", aliases_json(s),
			 "value", setting_json(s, config), "here",
			 here_json(s, config, defaults), "default",
			 setting_json(s, defaults), "allowed", buf, "source",
			 source, "from", variable, "help", s->help);
}

static int all_json(const struct tcpx_config *config, char **text)
{
	struct tcpx_config defaults = {.size_bytes = sizeof(defaults)};
	json_t *array = json_array();

	for (size_t i = 0; i < n_settings; i++)
		setting_default(&settings[i], &defaults);
	for (size_t i = 0; i < n_settings; i++) {
		if (json_array_append_new(array, row_json(&settings[i], config,
							  &defaults)) != 0)
			goto err_array;
	}
	if (variables_rows(array))
		goto err_array;
	*text = json_dumps(array, JSON_INDENT(2));
	json_decref(array);
	return *text ? 0 : TCPX_ENOMEM;
err_array:
	json_decref(array);
	return TCPX_ENOMEM;
}

int tcpx_config_json(const struct tcpx_config *config, char *buf,
		     size_t cap_bytes, size_t *len_bytes)
{
	struct tcpx_config full;
	struct log no_log = {0}, log;
	char *text;
	int rc;

	if (!config || (!buf && cap_bytes > 0) || !len_bytes)
		return TCPX_EINVAL;
	rc = complete(config, &no_log, &full);
	if (rc)
		return rc;
	config_log(&full, &log);
	rc = check(&full, &log);
	if (!rc)
		rc = all_json(&full, &text);
	if (rc)
		return rc;
	rc = text_give(text, strlen(text), buf, cap_bytes, len_bytes);
	free(text);
	return rc;
}
