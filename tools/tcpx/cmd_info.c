/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "common/wrap.h"
#include "entry.h"
#include "gpus.h"
#include "nearest.h"
#include "open.h"
#include "path.h"

#include <ifaddrs.h>
#include <jansson.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define STARTS_WAITED 100 /* moments of 50 ms */
#define CONNECT_WAIT_MS 10000

static const struct argp_option option_table[] = {
	{"json", 'j', NULL, 0, "as a JSON object", 0},
	{"verbose", 'v', NULL, 0,
	 "also the transports that only serve inside one process", 0},
	{0},
};
static const struct argp parser = {
	.options = option_table,
	.parser = listing_parse,
	.children = listing_children,
	.doc = "Opens a session with the settings in force, connects it to "
	       "itself, and prints what it found: interfaces, GPUs, "
	       "rails, transports."
	       "\v"
	       "Examples:\n"
	       "  tcpx info\n"
	       "  TCPX_IFNAMES=^docker0,lo tcpx info --json\n\n"
	       "Exit status: 0 all good, 2 the command line is wrong, 3 no "
	       "session could be opened, or not connected, or something "
	       "cannot be told.\n",
};

/* "192.168.0.7", or NULL for families that carry no data of ours. */
static const char *address_text(const struct sockaddr *sa, char *buf,
				socklen_t cap_bytes)
{
	socklen_t len = sizeof(struct sockaddr_in6);

	if (!sa || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return NULL;
	if (sa->sa_family == AF_INET)
		len = sizeof(struct sockaddr_in);
	if (getnameinfo(sa, len, buf, cap_bytes, NULL, 0, NI_NUMERICHOST))
		return NULL;
	return buf;
}

/* A number the kernel tells about an interface; -1 if it does not. */
static long interface_number(const char *name, const char *what)
{
	char path[64 + IFNAMSIZ];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, what);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

static json_t *interfaces(void)
{
	json_t *list = json_array();
	struct ifaddrs *all, *one;
	char text[NI_MAXHOST];

	if (getifaddrs(&all))
		return list;
	for (one = all; one; one = one->ifa_next) {
		const char *address =
			address_text(one->ifa_addr, text, sizeof(text));

		if (!address)
			continue;
		json_array_append_new(
			list,
			json_pack("{ss ss sb sb sI sI}", "name", one->ifa_name,
				  "address", address, "up",
				  (one->ifa_flags & IFF_RUNNING) != 0,
				  "loopback",
				  (one->ifa_flags & IFF_LOOPBACK) != 0, "mtu",
				  (json_int_t)interface_number(one->ifa_name,
							       "mtu"),
				  "megabits_per_s",
				  (json_int_t)interface_number(one->ifa_name,
							       "speed")));
	}
	freeifaddrs(all);
	return list;
}

static int stats_text(void *arg, char *buf, size_t cap_bytes, size_t *len_bytes)
{
	return tcpx_session_stats_json(arg, buf, cap_bytes, len_bytes);
}

static int transports_text(void *arg, char *buf, size_t cap_bytes,
			   size_t *len_bytes)
{
	return tcpx_session_transports(arg, buf, cap_bytes, len_bytes);
}

static bool any_starts(const json_t *self)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(self, "transports"), i, one)
	{
		if (entry_of(json_object_get(one, "rails"), "state",
			     "starting"))
			return true;
	}
	return false;
}

/* With what becomes of rails that start, if it is known soon. */
static json_t *describe_settled(struct tcpx_session *session, uint64_t peer)
{
	const struct timespec moment = {0, 50000000};
	json_t *self = path_describe(session, peer);

	for (int i = 0; i < STARTS_WAITED && self && any_starts(self); i++) {
		json_decref(self);
		nanosleep(&moment, NULL);
		self = path_describe(session, peer);
	}
	return self;
}

/* How the session reaches itself says what it has to offer to others. */
static json_t *describe_self(struct tcpx_session *session)
{
	unsigned char blob[TCPX_BLOB_MAX];
	uint64_t peer;
	size_t len;
	int status = tcpx_session_blob(session, blob, sizeof(blob), &len);

	if (!status)
		status = tcpx_peer_connect(session, blob, len, &peer);
	if (!status)
		status = tcpx_peer_wait(session, peer, CONNECT_WAIT_MS);
	if (status) {
		complain("connecting to itself: %s", tcpx_strerror(status));
		return NULL;
	}
	return describe_settled(session, peer);
}

static void print_interfaces(const json_t *list)
{
	const char *name, *address;
	json_int_t mtu, speed;
	int up, loopback;
	json_t *one;
	size_t i;

	printf("interfaces of this machine\n");
	json_array_foreach(list, i, one)
	{
		json_unpack(one, "{ss ss sb sb sI sI}", "name", &name,
			    "address", &address, "up", &up, "loopback",
			    &loopback, "mtu", &mtu, "megabits_per_s", &speed);
		printf("  %-12s %-28s mtu %lld%s", name, address,
		       (long long)mtu, up ? "" : ", down");
		if (speed > 0)
			printf(", %lld Mbit/s", (long long)speed);
		putchar('\n');
	}
}

static void print_gpus(const json_t *all)
{
	const char *why = json_string_value(json_object_get(all, "gpus_why"));
	const json_t *one;
	char line[256], text[768];
	size_t i;

	if (why) {
		snprintf(text, sizeof(text), "GPUs: none, %s", why);
		text_wrap(stdout, 0, 2, text);
		return;
	}
	printf("GPUs\n");
	json_array_foreach(json_object_get(all, "gpus"), i, one)
	{
		printf("  %s\n", gpus_line(one, line, sizeof(line)));
		snprintf(text, sizeof(text), "%lld copy engines; ",
			 (long long)json_integer_value(
				 json_object_get(one, "copy_engines")));
		nearest_line(one, text + strlen(text),
			     sizeof(text) - strlen(text));
		text_wrap(stdout, 9, 11, text);
	}
}

/* What keeps a transport out, each reason by its name. */
static void print_checks(const json_t *transport)
{
	const json_t *check;
	char text[640];
	size_t i;

	json_array_foreach(json_object_get(transport, "checks"), i, check)
	{
		if (json_is_true(json_object_get(check, "holds")))
			continue;
		snprintf(text, sizeof(text), "%s: %s",
			 json_string_value(json_object_get(check, "check")),
			 json_string_value(json_object_get(check, "why")));
		text_wrap(stdout, 4, 6, text);
	}
}

/* Candidates, what they would use, and why not. */
static void print_rails(const json_t *rails)
{
	const json_t *one;
	char text[320];
	size_t i;

	json_array_foreach(rails, i, one)
	{
		const json_t *gpu = json_object_get(one, "gpu");
		const char *why =
			json_string_value(json_object_get(one, "why"));
		char device[16] = "host";

		if (gpu)
			snprintf(device, sizeof(device), "gpu:%d",
				 (int)json_integer_value(gpu));
		snprintf(text, sizeof(text), "%s %s, %s%s%s", device,
			 json_string_value(json_object_get(one, "ifname")),
			 json_string_value(json_object_get(one, "state")),
			 why && *why ? ": " : "", why ? why : "");
		text_wrap(stdout, 4, 6, text);
	}
}

/* One that is open may yet reach nobody: each of its rails is refused. */
static const char *state_of(const json_t *transport, const json_t *rails)
{
	if (json_is_true(json_object_get(transport, "open")))
		return entry_of(rails, "state", "usable") ||
				       !json_array_size(rails) ?
			       "in use" :
		       entry_of(rails, "state", "starting") ?
			       "starting" :
			       "open, but no rail of it works";
	return json_is_true(json_object_get(transport, "usable")) ?
		       "usable" :
		       "not usable";
}

static void print_transports(const json_t *list, const json_t *self, bool all)
{
	const json_t *one, *rails;
	const char *name, *why;
	size_t i;

	printf("transports\n");
	json_array_foreach(list, i, one)
	{
		name = json_string_value(json_object_get(one, "transport"));
		why = json_string_value(json_object_get(one, "why"));
		if (!all && !strncmp(name, "loop", 4))
			continue;
		/* As the session's peers would see it. */
		rails = json_object_get(
			entry_of(json_object_get(self, "transports"),
				 "transport", name),
			"rails");
		printf("  %-12s %s%s\n", name, state_of(one, rails),
		       json_is_true(json_object_get(one, "allowed")) ?
			       "" :
			       ", not allowed by the settings "
			       "(TCPX_TRANSPORTS)");
		if (why && !json_array_size(json_object_get(one, "checks")))
			text_wrap(stdout, 4, 6, why);
		print_checks(one);
		print_rails(rails);
	}
}

static void print_all(const json_t *all, struct tcpx_session *session,
		      const struct path_view *view)
{
	printf("tcpx %s, session %s, port %u\n\n", tcpx_version(),
	       tcpx_session_name(session), tcpx_session_port(session));
	print_interfaces(json_object_get(all, "interfaces"));
	putchar('\n');
	print_gpus(all);
	putchar('\n');
	print_transports(json_object_get(all, "transports"),
			 json_object_get(all, "self"), view->all);
	printf("\nhow the session reaches itself, as it would others\n\n");
	path_draw(stdout, view, json_object_get(all, "self"));
}

int cmd_info(int argc, char **argv)
{
	struct listing_options arguments = {0};
	struct tcpx_config config;
	struct tcpx_session *session;
	struct path_view view = {.all = false};
	json_t *self, *stats, *all, *gpus, *transports;
	char why[160];
	bool whole;

	argp_parse(&parser, argc, argv, 0, NULL, &arguments);
	if (options_config(&arguments.session, &config) ||
	    session_open(&config, "cannot open a session", &session))
		return EXIT_SETUP;
	self = describe_self(session);
	stats = json_from_library("the statistics", stats_text, session);
	gpus = gpus_list(session, why, sizeof(why));
	transports =
		json_from_library("the transports", transports_text, session);
	all = json_pack("{ss ss si so so* so* so ss? so*}", "version",
			tcpx_version(), "name", tcpx_session_name(session),
			"port", (int)tcpx_session_port(session), "interfaces",
			interfaces(), "self", self, "statistics", stats, "gpus",
			gpus, "gpus_why", why[0] ? why : NULL, "transports",
			transports);
	whole = all && self && stats && transports;
	if (!all) {
		complain("what was found cannot be told: out of memory, or a "
			 "name in it is not UTF-8");
	} else if (arguments.json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		view.own_name = tcpx_session_name(session);
		view.allowed = config.transports;
		view.all = arguments.verbose;
		print_all(all, session, &view);
	}
	json_decref(all);
	tcpx_session_close(session);
	return whole ? EXIT_HELD : EXIT_SETUP;
}
