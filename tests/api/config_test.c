/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: defaults, environment, aliases, what is wrong with them. */
#include <jansson.h>
#include <stddef.h>

#include "check.h"
#include "support/doc.h"
#include "support/scale.h"
#include "support/sess.h"

struct lines {
	char text[4096];
	unsigned int n_warn, n_error;
};

static void collect(void *arg, enum tcpx_log_level level, const char *subsystem,
		    const char *line)
{
	struct lines *lines = arg;
	size_t len = strlen(lines->text);

	CHECK(subsystem && *subsystem);
	CHECK(!strchr(line, '\n'));
	lines->n_warn += level == TCPX_LOG_WARN;
	lines->n_error += level == TCPX_LOG_ERROR;
	snprintf(lines->text + len, sizeof(lines->text) - len, "%s\n", line);
}

static void defaults(void)
{
	struct tcpx_config config;
	struct lines lines = {"", 0, 0};

	memset(&config, 0x5a, sizeof(config));
	CHECK_STATUS(tcpx_config_init(&config, collect, &lines), TCPX_OK);
	CHECK_EQ(config.size_bytes, sizeof(config));
	CHECK_STR(lines.text, "");
	CHECK_EQ(config.n_workers, -1);
	CHECK_EQ(config.port_first, 0);
	CHECK_EQ(config.port_last, 0);
	CHECK_EQ(config.liveness_ms, 10000);
	CHECK_EQ(config.log_level, TCPX_LOG_WARN);
	CHECK_EQ(config.chunk_bytes, 0);
	CHECK(config.log_fn == collect && config.log_arg == &lines);
	CHECK(!config.checksum);
}

static void environment(void)
{
	struct tcpx_config config;
	struct lines lines = {"", 0, 0};

	setenv("TCPX_WORKERS", "3", 1);
	setenv("TCPX_PORT", "5000-5010", 1);
	setenv("TCPX_NAME", "from-env", 1);
	setenv("TCPX_SECRET", "s3cret", 1);
	setenv("TCPX_IFNAMES", "^docker0,lo", 1);
	setenv("TCPX_CHUNK_BYTES", "262144", 1);
	setenv("TCPX_CHECKSUM", "1", 1);
	setenv("TCPX_LOG_LEVEL", "debug", 1);
	CHECK_STATUS(tcpx_config_init(&config, collect, &lines), TCPX_OK);
	CHECK_STR(lines.text, "");
	CHECK_EQ(config.n_workers, 3);
	CHECK_EQ(config.port_first, 5000);
	CHECK_EQ(config.port_last, 5010);
	CHECK_STR(config.name, "from-env");
	CHECK_STR(config.secret, "s3cret");
	CHECK_STR(config.ifnames, "^docker0,lo");
	CHECK_EQ(config.chunk_bytes, 262144);
	CHECK(config.checksum);
	CHECK_EQ(config.log_level, TCPX_LOG_DEBUG);
}

static json_t *load_json(const struct tcpx_config *config)
{
	static char buf[65536];
	json_error_t error;
	size_t len = 0, again = 0;
	json_t *root;

	CHECK_STATUS(tcpx_config_json(config, NULL, 0, &len), TCPX_ENOSPC);
	CHECK(len > 0 && len < sizeof(buf));
	memset(buf, 'x', sizeof(buf));
	CHECK_STATUS(tcpx_config_json(config, buf, len, &again), TCPX_ENOSPC);
	CHECK_EQ(again, len);
	CHECK_EQ(buf[len], 'x');
	CHECK_STATUS(tcpx_config_json(config, buf, len + 1, &again), TCPX_OK);
	CHECK_EQ(again, len);
	CHECK_EQ(strlen(buf), len);
	root = json_loads(buf, 0, &error);
	CHECK(root && json_is_array(root));
	return root;
}

static json_t *find_setting(json_t *root, const char *variable)
{
	json_t *row;
	size_t i;

	json_array_foreach(root, i, row)
	{
		const char *name =
			json_string_value(json_object_get(row, "variable"));

		if (name && !strcmp(name, variable))
			return row;
	}
	return NULL;
}

/* ---- every setting of docs/settings.md ---- */

#define FIELD(field)                                                           \
	{                                                                      \
#field, offsetof(struct tcpx_config, field),                   \
			sizeof(((struct tcpx_config *)0)->field)               \
	}

static const struct field {
	const char *name;
	size_t offset, width_bytes;
} fields[] = {
	FIELD(log_level),	 FIELD(name),
	FIELD(secret),		 FIELD(bind),
	FIELD(ifnames),		 FIELD(ctrl_ifname),
	FIELD(advertise),	 FIELD(transports),
	FIELD(port_first),	 FIELD(port_last),
	FIELD(n_workers),	 FIELD(n_flows),
	FIELD(n_rails),		 FIELD(chunk_bytes),
	FIELD(window_chunks),	 FIELD(small_bytes),
	FIELD(copy_below_bytes), FIELD(socket_buffer_bytes),
	FIELD(busy_poll_us),	 FIELD(gpu),
	FIELD(gpu_slots),	 FIELD(gpu_copy_engine),
	FIELD(gpu_resident),	 FIELD(connect_timeout_ms),
	FIELD(liveness_ms),	 FIELD(deadline_ms),
	FIELD(max_half_open),	 FIELD(notify_queue_bytes),
	FIELD(max_peers),	 FIELD(checksum),
	FIELD(gpu_through_host),
};
#define N_FIELDS (sizeof(fields) / sizeof(*fields))

static const struct field *field_of(const char *name)
{
	for (size_t i = 0; i < N_FIELDS; i++)
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	check_fail(CHECK_AT, "no field %s", name);
	return NULL;
}

static unsigned long long number_at(const struct tcpx_config *config,
				    const struct field *field)
{
	unsigned long long n = 0;

	memcpy(&n, (const char *)config + field->offset, field->width_bytes);
	return n;
}

/* "4M" */
static unsigned long long size_of(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	for (const char *unit = "KMG"; *unit && *end; unit++) {
		n <<= 10;
		if (*unit == *end)
			break;
	}
	return n;
}

/* One that is allowed and not the default: the most there may be of a number,
 * a word of a list, anything of a text. Of a number, *n is what it means. */
static const char *other_value(const char *def, const char *allowed,
			       unsigned long long *n)
{
	static char value[32];
	const char *most = strstr(allowed, " to ");

	*n = 0;
	if (strstr(allowed, "first-last"))
		return "7000-7005";
	if (!strncmp(allowed, "1, yes", 6)) {
		*n = 1;
		return "1";
	}
	if (strstr(allowed, " bytes") || strstr(allowed, "by commas; eth"))
		return "abc";
	if (!most) /* words */
		while (!strncmp(allowed, def, strlen(def)))
			allowed += strcspn(allowed, " ") + 1;
	snprintf(value, sizeof(value), "%s", most ? most + 4 : allowed);
	value[strcspn(value, " ,;")] = '\0';
	*n = size_of(value);
	return value;
}

/* The field has it, and no other one has changed. */
static void check_fields(const struct tcpx_config *config,
			 const struct tcpx_config *plain, const char *names,
			 const char *value, unsigned long long want)
{
	for (size_t i = 0; i < N_FIELDS; i++) {
		unsigned long long n = number_at(config, &fields[i]);
		const char *text;
		char name[40];

		snprintf(name, sizeof(name), "`%s`", fields[i].name);
		if (!strstr(names, name)) {
			CHECK_EQ(n, number_at(plain, &fields[i]));
			continue;
		}
		if (!strcmp(fields[i].name, "port_first"))
			want = 7000;
		else if (!strcmp(fields[i].name, "port_last"))
			want = 7005;
		else if (!strcmp(fields[i].name, "log_level"))
			want = TCPX_LOG_NONE; /* the first word */
		memcpy(&text, (const char *)config + fields[i].offset,
		       sizeof(text));
		if (want || fields[i].width_bytes != sizeof(text))
			CHECK_EQ(n, want);
		else
			CHECK_STR(text, value);
		CHECK(n != number_at(plain, &fields[i]));
	}
}

/* Each by the name that is documented, to the field that is, and nothing is
 * left out. */
static void every_variable(void)
{
	struct tcpx_config plain, config;
	struct doc doc;
	size_t n_fields = 0;

	CHECK_STATUS(tcpx_config_init(&plain, NULL, NULL), TCPX_OK);
	doc_open(&doc, "settings.md", "| field | variable |");
	while (doc_next(&doc)) {
		struct lines lines = {"", 0, 0};
		char names[80], *at = names;
		const char *variable = doc_word(&doc.cells[1]), *value;
		unsigned long long n;

		snprintf(names, sizeof(names), "%s", doc.cells[0]);
		value = other_value(doc.cells[2], doc.cells[3], &n);
		fprintf(stderr, "%s=%s\n", variable, value);
		setenv(variable, value, 1);
		CHECK_STATUS(tcpx_config_init(&config, collect, &lines),
			     TCPX_OK);
		CHECK_STR(lines.text, "");
		config.log_fn = NULL;
		config.log_arg = NULL;
		check_fields(&config, &plain, names, value, n);
		unsetenv(variable);
		for (const char *name; (name = doc_word(&at)); n_fields++)
			CHECK(field_of(name));
	}
	CHECK_EQ(n_fields, N_FIELDS);
}

/* None is in the library that is not in the tables. */
static void every_setting_is_documented(void)
{
	struct tcpx_config config;
	size_t i, documented = 0, there = 0;
	struct doc doc;
	json_t *root, *row;

	CHECK_STATUS(tcpx_config_init(&config, NULL, NULL), TCPX_OK);
	root = load_json(&config);
	doc_open(&doc, "settings.md", "| field | variable |");
	for (; doc_next(&doc); documented++)
		CHECK(find_setting(root, doc_word(&doc.cells[1])));
	json_array_foreach(root, i, row)
	{
		const char *name =
			json_string_value(json_object_get(row, "name"));

		/* A transport's own are on its page. */
		there += !strstr(name, "netplugin_") &&
			 !strstr(name, "socket_lend");
	}
	CHECK_EQ(there, documented);
	json_decref(root);
}

static void one_port(void)
{
	struct tcpx_config config;

	setenv("TCPX_PORT", "7777", 1);
	CHECK_STATUS(tcpx_config_init(&config, NULL, NULL), TCPX_OK);
	CHECK_EQ(config.port_first, 7777);
	CHECK_EQ(config.port_last, 7777);
}

static void aliases(void)
{
	struct tcpx_config config;
	struct lines lines = {"", 0, 0};

	setenv("NCCL_GPUDIRECTTCPX_CTRL_DEV", "eth7", 1);
	setenv("UCCL_TCPX_CHUNK_BYTES", "131072", 1);
	setenv("UCCL_TCPX_DEBUG", "1", 1);
	CHECK_STATUS(tcpx_config_init(&config, collect, &lines), TCPX_OK);
	CHECK_STR(config.ctrl_ifname, "eth7");
	CHECK_EQ(config.chunk_bytes, 131072);
	CHECK(config.log_level >= TCPX_LOG_INFO);
}

/* A line that names the variable, the value and what is allowed; the field
 * has its default. */
static void bad_values(void)
{
	static const struct {
		const char *variable, *value;
	} bad[] = {
		{"TCPX_LIVENESS_MS", "soon"},
		{"TCPX_LIVENESS_MS", "-5"},
		{"TCPX_LIVENESS_MS", "99999999999999999999"},
		{"TCPX_WORKERS", "many"},
		{"TCPX_WORKERS", "-7"},
		{"TCPX_PORT", "70000"},
		{"TCPX_PORT", "9-3"},
		{"TCPX_PORT", "80x"},
		{"TCPX_CHUNK_BYTES", "1"},
		{"TCPX_CHECKSUM", "perhaps"},
		{"TCPX_LOG_LEVEL", "loud"},
	};
	struct tcpx_config plain, config;

	CHECK_STATUS(tcpx_config_init(&plain, NULL, NULL), TCPX_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct lines lines = {"", 0, 0};

		setenv(bad[i].variable, bad[i].value, 1);
		fprintf(stderr, "%s=%s: ", bad[i].variable, bad[i].value);
		CHECK_STATUS(tcpx_config_init(&config, collect, &lines),
			     TCPX_EINVAL);
		fprintf(stderr, "%s", lines.text);
		CHECK(strstr(lines.text, bad[i].variable));
		CHECK(strstr(lines.text, bad[i].value));
		CHECK(lines.n_warn + lines.n_error >= 1);
		CHECK_EQ(config.liveness_ms, plain.liveness_ms);
		CHECK_EQ(config.n_workers, plain.n_workers);
		CHECK_EQ(config.port_first, plain.port_first);
		CHECK_EQ(config.chunk_bytes, plain.chunk_bytes);
		CHECK_EQ(config.log_level, plain.log_level);
		unsetenv(bad[i].variable);
	}
}

static void unknown_variable(void)
{
	struct tcpx_config config;
	struct lines lines = {"", 0, 0};

	setenv("TCPX_LIVENES_MS", "5", 1);
	CHECK_STATUS(tcpx_config_init(&config, collect, &lines), TCPX_OK);
	CHECK(strstr(lines.text, "TCPX_LIVENES_MS"));
	CHECK_EQ(lines.n_warn, 1);
}

static void as_json(void)
{
	static const char *const keys[] = {"name",   "variable", "aliases",
					   "value",  "default",	 "allowed",
					   "source", "help"};
	struct tcpx_config config;
	json_t *root, *row, *source;
	size_t i;

	setenv("TCPX_WORKERS", "3", 1);
	CHECK_STATUS(tcpx_config_init(&config, NULL, NULL), TCPX_OK);
	root = load_json(&config);
	CHECK(json_array_size(root) >= 20);
	json_array_foreach(root, i, row)
	{
		for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++)
			CHECK(json_object_get(row, keys[k]));
	}
	row = find_setting(root, "TCPX_WORKERS");
	source = json_object_get(row, "source");
	CHECK_STR(json_string_value(source), "environment");
	source = json_object_get(find_setting(root, "TCPX_FLOWS"), "source");
	CHECK_STR(json_string_value(source), "default");
	json_decref(root);
}

static void secret_is_not_shown(void)
{
	static char buf[65536];
	struct tcpx_config config;
	size_t len;

	setenv("TCPX_SECRET", "do-not-print-me", 1);
	CHECK_STATUS(tcpx_config_init(&config, NULL, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_config_json(&config, buf, sizeof(buf), &len),
		     TCPX_OK);
	CHECK(!strstr(buf, "do-not-print-me"));
}

static void open_rejects(void)
{
	struct tcpx_config config;
	struct tcpx_session *s = NULL;
	struct lines lines = {"", 0, 0};

	CHECK_STATUS(tcpx_config_init(&config, collect, &lines), TCPX_OK);
	config.chunk_bytes = 3;
	CHECK_STATUS(tcpx_session_open(&config, &s), TCPX_EINVAL);
	CHECK(!s);
	CHECK(lines.n_error + lines.n_warn >= 1);
	CHECK(strstr(lines.text, "3"));
	CHECK_STATUS(tcpx_config_init(&config, collect, &lines), TCPX_OK);
	config.size_bytes = 0;
	CHECK_STATUS(tcpx_session_open(&config, &s), TCPX_EINVAL);
	CHECK_STATUS(tcpx_config_init(&config, collect, &lines), TCPX_OK);
	config.ifnames = "no-such-nic9";
	CHECK_STATUS(tcpx_session_open(&config, &s), TCPX_EUNREACHABLE);
	CHECK(strstr(lines.text, "no-such-nic9"));
	CHECK(!s);
}

/* What only an opening finds out: the variable, its value, what is allowed. */
static void open_names_the_variable(void)
{
	static const struct {
		const char *variable, *value;
		int status;
		const char *words[2];
	} rows[] = {
		{"TCPX_BIND", "foo", TCPX_EINVAL, {"\"foo\"", "numeric"}},
		{"TCPX_ADVERTISE", "foo", TCPX_EINVAL, {"\"foo\"", "numeric"}},
		{"TCPX_ADVERTISE", "10.0.0.1,10.0.0.2", TCPX_OK, {"rails", "1"}},
		{"TCPX_IFNAMES",
		 "no-such0",
		 TCPX_EUNREACHABLE,
		 {"no-such0", "there is lo"}},
		{"TCPX_CTRL_IFNAME",
		 "no-such0",
		 TCPX_EUNREACHABLE,
		 {"no-such0", "there is lo"}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tcpx_session *s = NULL;
		struct tcpx_config config;
		struct lines lines = {0};

		setenv("TCPX_IFNAMES", "lo", 1);
		setenv(rows[i].variable, rows[i].value, 1);
		CHECK_STATUS(tcpx_config_init(&config, collect, &lines),
			     TCPX_OK);
		CHECK_STATUS(tcpx_session_open(&config, &s), rows[i].status);
		fprintf(stderr, "%s", lines.text);
		CHECK_EQ(lines.n_warn + lines.n_error, 1);
		CHECK(strstr(lines.text, rows[i].variable));
		CHECK(strstr(lines.text, rows[i].words[0]));
		CHECK(strstr(lines.text, rows[i].words[1]));
		tcpx_session_close(s);
		unsetenv(rows[i].variable);
	}
}

/* Named twice is named once. */
static void transport_named_twice(void)
{
	char blob[TCPX_BLOB_MAX];
	struct tcpx_session *s;
	struct tcpx_config config;
	uint64_t peer;
	size_t len;

	CHECK_STATUS(tcpx_config_init(&config, NULL, NULL), TCPX_OK);
	config.ifnames = "lo";
	config.transports = "socket,socket";
	CHECK_STATUS(tcpx_session_open(&config, &s), TCPX_OK);
	CHECK_STATUS(tcpx_session_blob(s, blob, sizeof(blob), &len), TCPX_OK);
	CHECK_STATUS(tcpx_peer_connect(s, blob, len, &peer), TCPX_OK);
	CHECK_STATUS(tcpx_peer_wait(s, peer, scale_ms(5000)), TCPX_OK);
	tcpx_session_close(s);
}

/* A program compiled against an older, shorter struct. */
static void older_struct(void)
{
	struct tcpx_config config;
	struct tcpx_session *s;

	CHECK_STATUS(tcpx_config_init(&config, NULL, NULL), TCPX_OK);
	config.ifnames = "lo";
	config.name = "short";
	config.size_bytes = offsetof(struct tcpx_config, notify_queue_bytes);
	memset(&config.notify_queue_bytes, 0xff,
	       sizeof(config) - config.size_bytes);
	config.log_level = TCPX_LOG_TRACE; /* what lies there is no log_fn */
	CHECK_STATUS(tcpx_session_open(&config, &s), TCPX_OK);
	CHECK_STR(tcpx_session_name(s), "short");
	tcpx_session_close(s);
}

static void program_overrides(void)
{
	struct sess sess;

	setenv("TCPX_NAME", "env", 1);
	sess_open(&sess, "program", NULL);
	CHECK_STR(tcpx_session_name(sess.s), "program");
	sess_close(&sess);
}

static void strings(void)
{
	int major, minor, patch;

	CHECK_EQ(sscanf(tcpx_version(), "%d.%d.%d", &major, &minor, &patch), 3);
	CHECK_EQ(major, TCPX_VERSION_MAJOR);
	CHECK_STR(tcpx_status_name(TCPX_EPEER), "TCPX_EPEER");
	CHECK_STR(tcpx_status_name(-9999), "TCPX_?");
	CHECK_STR(tcpx_strerror(TCPX_EPEER), "peer lost");
	CHECK(tcpx_strerror(-9999)[0]);
	CHECK_EQ(tcpx_status_scope(TCPX_ELIVENESS), TCPX_SCOPE_PEER);
	CHECK_EQ(tcpx_status_scope(-9999), TCPX_SCOPE_SESSION);
	CHECK_EQ(tcpx_status_scope(TCPX_OK), TCPX_SCOPE_NONE);
}

static const struct check_case cases[] = {
	{"defaults", defaults, 0},
	{"environment", environment, 0},
	{"every_variable", every_variable, 0},
	{"every_setting_is_documented", every_setting_is_documented, 0},
	{"one_port", one_port, 0},
	{"aliases", aliases, 0},
	{"bad_values", bad_values, 0},
	{"unknown_variable", unknown_variable, 0},
	{"as_json", as_json, 0},
	{"secret_is_not_shown", secret_is_not_shown, 0},
	{"open_rejects", open_rejects, 0},
	{"open_names_the_variable", open_names_the_variable, 0},
	{"transport_named_twice", transport_named_twice, 60},
	{"older_struct", older_struct, 0},
	{"program_overrides", program_overrides, 0},
	{"strings", strings, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
