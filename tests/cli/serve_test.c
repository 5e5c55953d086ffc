/* SPDX-License-Identifier: Apache-2.0 */
/* Server and client in two processes, and what stands between them. */
#include "check.h"
#include "cli/cli.h"
#include "cli/keys.h"
#include "cli/proxy.h"

#include <signal.h>

#define BROKE 1
#define SETUP 3

#define PORTS "21000-28999"

/* A server at any free port, in the environment as it is. */
static unsigned server_start(struct cli *server, const char *line)
{
	const char *at;
	unsigned port = 0;

	setenv("TCPX_PORT", PORTS, 1);
	cli_start(server, line);
	cli_await(server, "to end\n");
	at = strstr(server->out.text, "serving on port ");
	CHECK(at && sscanf(at, "serving on port %u,", &port) == 1);
	CHECK(port >= 21000 && port <= 28999);
	return port;
}

static void server_stop(struct cli *server)
{
	cli_stop(server, SIGINT);
	CHECK_EQ(server->status, 0);
	cli_silent(&server->err);
	cli_free(server);
}

/* perf HOST:port and more. */
static int client_run(struct cli *client, unsigned port, const char *more)
{
	char line[512];

	snprintf(line, sizeof(line), "perf 127.0.0.1:%u %s", port, more);
	return cli_run(client, line);
}

static const json_t *first_case(const json_t *json)
{
	return json_array_get(json_object_get(json, "cases"), 0);
}

/* One client after the other, of every kind; the server says who comes. */
static void served(void)
{
	static const char *const more[] = {
		"--json --op write --size 64K:128K --ceiling --count 4",
		"--json --op read --size 4K --segments 64 --outstanding 3",
		"--json --op send --size 1M --both-directions --ceiling",
		"--json --notify --ceiling --wait block",
	};
	struct cli server, client;
	unsigned port;
	char line[256];
	json_t *json;

	setenv("TCPX_SECRET", "a secret", 1);
	port = server_start(&server, "perf");
	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++) {
		snprintf(line, sizeof(line), "%s --duration 200ms --rounds 2",
			 more[i]);
		CHECK_EQ(client_run(&client, port, line), 0);
		json = cli_json(&client);
		cli_keys(json_object_get(json, "settings"), PERF_SETTINGS_KEYS);
		cli_keys(first_case(json), CASE_KEYS);
		CHECK(json_is_true(
			json_object_get(first_case(json), "verified")));
		CHECK(json_is_true(json_object_get(json, "held")));
		json_decref(json);
		cli_free(&client);
	}
	cli_await(&server, "client connected\n");
	cli_await(&server, "client gone\n");
	cli_says(&server.out, "read, 64 x 4K, 3 outstanding");
	server_stop(&server);
}

/* SIGTERM ends a server as well as SIGINT; names and brackets are addresses
 * too; the raw connections come to the port they are told to. */
static void addresses(void)
{
	struct cli server, client;
	unsigned port;
	char line[128];

	setenv("TCPX_SECRET", "a secret", 1);
	port = server_start(&server, "perf");
	snprintf(line, sizeof(line),
		 "perf localhost:%u --size 64K --count 2 --ceiling "
		 "--raw-port %u",
		 port, port + 1000);
	CHECK_EQ(cli_run(&client, line), 0);
	cli_says(&client.out, "verified");
	cli_free(&client);
	snprintf(line, sizeof(line), "%u", port);
	setenv("UCCL_TCPX_BOOTSTRAP_PORT", line, 1);
	unsetenv("TCPX_PORT");
	CHECK_EQ(cli_run(&client, "perf localhost --size 64K --count 2"), 0);
	cli_free(&client);
	cli_stop(&server, SIGTERM);
	CHECK_EQ(server.status, 0);
	cli_free(&server);
}

static void check_cut(const json_t *cut, size_t i, const char *variable,
		      json_int_t asked, json_int_t got)
{
	const json_t *one = json_array_get(cut, i);

	cli_keys(one, "setting:s variable:s asked:i got:i why:s");
	CHECK_STR(json_string_value(json_object_get(one, "variable")),
		  variable);
	CHECK_EQ(json_integer_value(json_object_get(one, "asked")), asked);
	CHECK_EQ(json_integer_value(json_object_get(one, "got")), got);
}

/* What the server's settings take from the client's is said, and what to do;
 * what was not asked for is not missed. */
static void cut(void)
{
	struct cli server, client;
	const json_t *all;
	unsigned port;
	json_t *json;

	setenv("TCPX_SECRET", "a secret", 1);
	setenv("TCPX_CHUNK_BYTES", "64K", 1);
	port = server_start(&server, "perf --flows 1 --rails 1 --window 8");
	unsetenv("TCPX_CHUNK_BYTES");
	CHECK_EQ(client_run(&client, port,
			    "--json --size 64K --count 2 --flows 3 --rails 2 "
			    "--chunk 512K --window 4"),
		 0);
	json = cli_json(&client);
	all = json_object_get(json, "cut");
	CHECK_EQ(json_array_size(all), 3);
	check_cut(all, 0, "TCPX_FLOWS", 3, 1);
	check_cut(all, 1, "TCPX_RAILS", 2, 1);
	check_cut(all, 2, "TCPX_CHUNK_BYTES", 512 << 10, 64 << 10);
	cli_says(&client.err,
		 "note: channels: 3 asked for, 1 got: the server allows no "
		 "more; start it with");
	cli_says(&client.err, "--channels 3, or TCPX_FLOWS=3\n");
	cli_says(&client.err, "note: chunk: 512K asked for, 64K got: ");
	cli_fits(&client.err, 80);
	json_decref(json);
	cli_free(&client);
	CHECK_EQ(client_run(&client, port, "--json --size 64K --count 2"), 0);
	json = cli_json(&client);
	CHECK_EQ(json_array_size(json_object_get(json, "cut")), 0);
	cli_silent(&client.err);
	json_decref(json);
	cli_free(&client);
	setenv("TCPX_FLOWS", "2", 1);
	CHECK_EQ(client_run(&client, port, "--single"), 0);
	cli_says(&client.err, "note: channels: 2 asked for, 1 got: ");
	cli_free(&client);
	CHECK_EQ(client_run(&client, port,
			    "--sweep=channels=1,2 --size 64K --count 2"),
		 0);
	cli_says(&client.out, "socket, 1 flow, verified\n    cut: "
			      "TCPX_FLOWS: 2 asked for, 1 got\n");
	cli_says(&client.out, "cut: by the server; start it with --chunk 4M ");
	cli_says(&client.out, "* best: --channels 1, ");
	cli_fits(&client.out, 80);
	cli_free(&client);
	CHECK_EQ(client_run(&client, port,
			    "--sweep=channels=2,3 --size 64K --count 2"),
		 0);
	cli_says_not(&client.out, "*");
	cli_free(&client);
	server_stop(&server);
}

/* Without a secret the server makes one up, and says so; as JSON too. */
static void made_secret(void)
{
	struct cli server, client;
	char secret[64] = "";
	const char *at;
	unsigned port;
	json_t *json;

	port = server_start(&server, "perf");
	cli_await(&server, " tcpx perf HOST\n");
	at = strstr(server.out.text, "TCPX_SECRET=");
	CHECK(at && sscanf(at, "TCPX_SECRET=%63s", secret) == 1);
	CHECK_EQ(strlen(secret), 32);
	setenv("TCPX_SECRET", secret, 1);
	CHECK_EQ(client_run(&client, port, "--size 4K --count 2"), 0);
	cli_free(&client);
	server_stop(&server);
	unsetenv("TCPX_SECRET");
	cli_start(&server, "perf --json");
	cli_await(&server, "}\n");
	cli_stop(&server, SIGINT);
	json = cli_json(&server);
	cli_keys(json, "version:s port:i secret:s?");
	CHECK(json_is_string(json_object_get(json, "secret")));
	json_decref(json);
	cli_free(&server);
}

static void no_secret(void)
{
	struct cli client;

	CHECK_EQ(client_run(&client, 20999, ""), SETUP);
	cli_says(&client.err, "no secret: set TCPX_SECRET");
	cli_says_not(&client.err, "authentication failed");
	cli_silent(&client.out);
	cli_free(&client);
}

static void wrong_secret(void)
{
	struct cli server, client;
	unsigned port;

	setenv("TCPX_SECRET", "one", 1);
	port = server_start(&server, "perf");
	setenv("TCPX_SECRET", "another", 1);
	CHECK_EQ(client_run(&client, port, ""), SETUP);
	cli_says(&client.err, "it has another secret");
	cli_says(&client.err, "give the server's secret by TCPX_SECRET");
	cli_silent(&client.out);
	cli_free(&client);
	/* the server says that somebody came, and serves others */
	cli_await(&server, "another secret");
	setenv("TCPX_SECRET", "one", 1);
	CHECK_EQ(client_run(&client, port, "--size 4K --count 1"), 0);
	cli_free(&client);
	cli_stop(&server, SIGINT);
	CHECK_EQ(server.status, 0);
	cli_free(&server);
}

/* Nobody there: said after a second, with how long it goes on. */
static void absent_server(void)
{
	struct cli client;

	setenv("TCPX_SECRET", "one", 1);
	setenv("TCPX_CONNECT_TIMEOUT_MS", "2500", 1);
	/* below the range that servers here take ports of */
	CHECK_EQ(client_run(&client, 20999, ""), SETUP);
	cli_says(&client.err,
		 "no answer from 127.0.0.1:20999 yet, trying for 2.5 s");
	cli_says(&client.err, "Connection refused; no tcpx perf serves there");
	cli_silent(&client.out);
	cli_free(&client);
}

/* One that comes while a client tries is found. */
static void late_server(void)
{
	struct cli server, client;

	setenv("TCPX_SECRET", "one", 1);
	cli_start(&client, "perf 127.0.0.1:20998 --size 4K --count 1");
	cli_await(&client, "no answer from");
	cli_start(&server, "perf --port 20998");
	cli_await(&server, "serving on port 20998");
	cli_end(&client);
	CHECK_EQ(client.status, 0);
	cli_free(&client);
	server_stop(&server);
}

static void bad_address(void)
{
	static const char *const bad[][2] = {
		{"perf no.such.name.invalid", "Name or service not known"},
		{"perf 127.0.0.1:99999", "has a port that is not 1 to 65535"},
		{"perf [::1]:0", "has a port that is not 1 to 65535"},
		{"perf [::1", "is no HOST[:PORT]"},
		{"perf [::1]junk", "\"[::1]junk\" is no HOST[:PORT]"},
		{"perf localhost:1:2", "is no HOST[:PORT]"},
		{"perf :7174", "is no HOST[:PORT]"},
	};
	struct cli client;

	setenv("TCPX_SECRET", "one", 1);
	setenv("TCPX_CONNECT_TIMEOUT_MS", "1500", 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_EQ(cli_run(&client, bad[i][0]), SETUP);
		/* without a resolver the words are others */
		if (i > 0)
			cli_says(&client.err, bad[i][1]);
		cli_says_not(&client.err, "no way to the peer");
		cli_free(&client);
	}
}

static void port_taken(void)
{
	struct cli server, second;
	unsigned port;
	char line[64];

	setenv("TCPX_SECRET", "one", 1);
	port = server_start(&server, "perf");
	unsetenv("TCPX_PORT");
	snprintf(line, sizeof(line), "perf --port %u", port);
	CHECK_EQ(cli_run(&second, line), SETUP);
	cli_says(&second.err, "Address already in use");
	cli_says(&second.err, "another one: --port N or TCPX_PORT");
	cli_says_not(&second.err, "no way to the peer");
	cli_silent(&second.out);
	cli_free(&second);
	server_stop(&server);
}

/* A second client is told so; the first goes on. */
static void busy_server(void)
{
	struct cli server, first, second;
	unsigned port;
	char line[128];

	setenv("TCPX_SECRET", "one", 1);
	port = server_start(&server, "perf");
	snprintf(line, sizeof(line), "perf 127.0.0.1:%u --duration 60s", port);
	cli_start(&first, line);
	cli_await(&server, "client connected\n");
	cli_await(&server, "write, 1 x 64M");
	CHECK_EQ(client_run(&second, port, "--size 4K --count 1"), SETUP);
	cli_says(&second.err, "busy with another client");
	cli_free(&second);
	/* killed in the middle, it is missed, and the next one is served */
	cli_stop(&first, SIGKILL);
	CHECK_EQ(first.status, -SIGKILL);
	cli_free(&first);
	cli_await(&server, "client gone: ");
	CHECK_EQ(client_run(&second, port, "--size 4K --count 1"), 0);
	cli_free(&second);
	cli_stop(&server, SIGINT);
	CHECK_EQ(server.status, 0);
	cli_free(&server);
}

/* The server dies in the middle: a case that failed, in words. */
static void server_dies(void)
{
	struct cli server, client;
	unsigned port;
	char line[128];
	json_t *json;

	setenv("TCPX_SECRET", "one", 1);
	port = server_start(&server, "perf");
	snprintf(line, sizeof(line), "perf 127.0.0.1:%u --json --duration 60s",
		 port);
	cli_start(&client, line);
	cli_await(&server, "write, 1 x 64M");
	cli_stop(&server, SIGKILL);
	cli_free(&server);
	cli_end(&client);
	CHECK_EQ(client.status, BROKE);
	json = cli_json(&client);
	CHECK(json_is_false(json_object_get(json, "held")));
	cli_keys(first_case(json), CASE_KEYS);
	CHECK(json_is_string(json_object_get(first_case(json), "failure")));
	CHECK(json_is_null(
		json_object_get(first_case(json), "gigabytes_per_s")));
	CHECK(json_is_false(json_object_get(first_case(json), "verified")));
	json_decref(json);
	cli_free(&client);
}

/* An interrupted server says goodbye at once, whatever the two are at; both
 * sides say what happened. */
static void interrupted(void)
{
	static const char *const more[] = {
		"--op write",
		"--op read",
		"--op send",
		"--notify",
		"--notify --wait spin",
		"--both-directions --wait spin",
		/* in one half or the other */
		"--ceiling --no-verify --duration 20s --rounds 200",
		"--ceiling --notify --duration 20s --rounds 200",
	};
	struct cli server, client;
	const char *failure;
	unsigned port;
	char line[128];
	json_t *json;

	setenv("TCPX_SECRET", "one", 1);
	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++) {
		port = server_start(&server, "perf");
		snprintf(line, sizeof(line),
			 "perf 127.0.0.1:%u --json --duration 900s %s", port,
			 more[i]);
		cli_start(&client, line);
		cli_await(&server, " outstanding");
		usleep(700 * 1000); /* anywhere in the first round */
		cli_stop(&server, SIGINT);
		CHECK_EQ(server.status, 0);
		cli_says(&server.out, "interrupted; the client was told\n");
		cli_says_not(&server.out, "client gone");
		cli_silent(&server.err);
		cli_free(&server);
		cli_end(&client);
		CHECK_EQ(client.status, BROKE);
		json = cli_json(&client);
		failure = json_string_value(
			json_object_get(first_case(json), "failure"));
		if (!failure || !strstr(failure, "closed by the peer"))
			check_fail(CHECK_AT, "%s: %s", more[i], failure);
		json_decref(json);
		cli_free(&client);
	}
}

/* ---- a wire that changes a byte ---------------------------------------- */

/* Behind what the connections say at first, within the first chunk's bytes:
 * only the connection that carries payload gets so far. */
#define FLIP_OFF 100000

/* Exit status of a client whose bytes go through the proxy. */
static int lied_to(struct cli *client, const char *more)
{
	struct cli server;
	unsigned port;
	char line[256];
	int status;

	setenv("TCPX_SECRET", "one", 1);
	setenv("TCPX_IFNAMES", "lo", 1);
	setenv("TCPX_FLOWS", "1", 1);
	setenv("TCPX_BIND", PROXY_SERVER, 1);
	setenv("TCPX_ADVERTISE", PROXY_ADDRESS, 1);
	port = server_start(&server, "perf");
	unsetenv("TCPX_BIND");
	unsetenv("TCPX_ADVERTISE");
	proxy_start((uint16_t)port, FLIP_OFF);
	snprintf(line, sizeof(line),
		 "perf " PROXY_ADDRESS ":%u --size 4M --count 2 %s", port,
		 more);
	status = cli_run(client, line);
	CHECK(proxy_flips() > 0);
	cli_stop(&server, SIGINT);
	cli_free(&server);
	return status;
}

static void corrupt_text(void)
{
	struct cli client;

	CHECK_EQ(lied_to(&client, ""), BROKE);
	cli_says(&client.out, "  WRONG\n");
	cli_says(&client.out, "wrong bytes at offset");
	cli_says_not(&client.out, "verified");
	cli_free(&client);
}

static void corrupt_json(void)
{
	struct cli client;
	const json_t *one;
	json_t *json;

	CHECK_EQ(lied_to(&client, "--json"), BROKE);
	json = cli_json(&client);
	one = first_case(json);
	CHECK(json_is_false(json_object_get(json, "held")));
	CHECK(json_is_true(json_object_get(one, "checked")));
	CHECK(json_is_false(json_object_get(one, "verified")));
	CHECK(strstr(json_string_value(json_object_get(one, "failure")),
		     "wrong bytes at offset"));
	/* the run went on: only what arrived was wrong */
	CHECK(json_is_number(json_object_get(one, "gigabytes_per_s")));
	json_decref(json);
	cli_free(&client);
}

/* Nobody looks, so nobody sees: it is the verification that finds it. */
static void corrupt_unseen(void)
{
	struct cli client;

	CHECK_EQ(lied_to(&client, "--no-verify"), 0);
	cli_says(&client.out, "  not checked\n");
	cli_free(&client);
}

/* The checksum on the wire finds it first, and the transfer fails. */
static void corrupt_checksum(void)
{
	struct cli client;

	CHECK_EQ(lied_to(&client, "--checksum"), BROKE);
	cli_says(&client.out, "failed: ");
	cli_says(&client.out, "checksum");
	cli_free(&client);
}

static const struct check_case cases[] = {
	{"served", served, 60},
	{"addresses", addresses, 0},
	{"cut", cut, 60},
	{"made_secret", made_secret, 0},
	{"no_secret", no_secret, 0},
	{"wrong_secret", wrong_secret, 0},
	{"absent_server", absent_server, 0},
	{"late_server", late_server, 0},
	{"bad_address", bad_address, 60},
	{"port_taken", port_taken, 0},
	{"busy_server", busy_server, 60},
	{"server_dies", server_dies, 60},
	{"interrupted", interrupted, 60},
	{"corrupt_text", corrupt_text, 0},
	{"corrupt_json", corrupt_json, 0},
	{"corrupt_unseen", corrupt_unseen, 0},
	{"corrupt_checksum", corrupt_checksum, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
