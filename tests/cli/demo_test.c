/* SPDX-License-Identifier: Apache-2.0 */
/* The demo in its short form: same cases, same checks, fewer bytes. */
#include "check.h"
#include "cli/cli.h"
#include "cli/keys.h"

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void check_moved(const json_t *one)
{
	cli_keys(one, CASE_KEYS);
	CHECK(is_true(one, "verified"));
	CHECK(json_number_value(json_object_get(one, "gigabytes_per_s")) > 0);
	CHECK(json_number_value(
		      json_object_get(one, "ceiling_gigabytes_per_s")) > 0);
	CHECK(json_number_value(json_object_get(one, "ratio")) > 0);
	CHECK_STR(text_of(one, "transport"), "socket");
}

static void check_kill(const json_t *one)
{
	cli_keys(one, KILL_KEYS);
	CHECK(is_true(one, "verified"));
	CHECK_EQ(json_integer_value(json_object_get(one, "bytes")), 1ll << 38);
	CHECK_EQ(json_integer_value(json_object_get(one, "segments")), 16384);
	CHECK_STR(text_of(one, "transport"), "socket");
	CHECK(json_integer_value(json_object_get(one, "flows")) > 0);
	CHECK(json_is_null(json_object_get(one, "gigabytes_per_s")));
	CHECK(json_is_null(json_object_get(one, "ratio")));
	CHECK(json_number_value(json_object_get(one, "moved_gigabytes")) > 0);
	CHECK(strlen(text_of(one, "cause")) > 0);
	CHECK(!strncmp(text_of(one, "status"), "TCPX_E", 6));
}

static void quick_json(void)
{
	static const char *const ops[] = {"write", "read",   "write",
					  "read",  "write",  "read",
					  "send",  "notify", "kill"};
	struct cli cli;
	const json_t *cases, *one;
	json_t *json;
	size_t i;

	setenv("TCPX_GPU", "off", 1);
	CHECK_EQ(cli_run(&cli, "demo --quick --json"), 0);
	cli_silent(&cli.err);
	json = cli_json(&cli);
	cli_keys(json, "settings:o cases:a held:b");
	CHECK(is_true(json, "held"));
	cli_keys(json_object_get(json, "settings"), DEMO_SETTINGS_KEYS);
	CHECK(is_true(json_object_get(json, "settings"), "quick"));
	cases = json_object_get(json, "cases");
	CHECK_EQ(json_array_size(cases), sizeof(ops) / sizeof(*ops));
	json_array_foreach(cases, i, one)
	{
		CHECK_STR(text_of(one, "op"), ops[i]);
		if (!strcmp(ops[i], "kill"))
			check_kill(one);
		else
			check_moved(one);
	}
	json_decref(json);
	cli_free(&cli);
}

/* With GPUs there is more to show. */
static void quick_gpus(void)
{
	struct cli cli;
	const json_t *cases, *one;
	json_t *json;

	setenv("TCPX_GPU", "host", 1);
	CHECK_EQ(cli_run(&cli, "demo --quick --json"), 0);
	json = cli_json(&cli);
	cases = json_object_get(json, "cases");
	CHECK_EQ(json_array_size(cases), 12);
	for (size_t i = 8; i < 11; i++) {
		one = json_array_get(cases, i);
		check_moved(one);
		CHECK_STR(text_of(one, "mem"), "gpu:0");
		CHECK(!strncmp(text_of(one, "peer_mem"), "gpu:", 4));
	}
	check_kill(json_array_get(cases, 11));
	CHECK(json_array_size(json_object_get(json_object_get(json, "settings"),
					      "gpus")) > 0);
	json_decref(json);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "demo --quick"), 0);
	cli_says(&cli.out, "] host and gpu:0 memory\n        |");
	cli_says(&cli.out, "] host and gpu:1 memory\n\n");
	cli_free(&cli);
}

/* A GPU breaks at its first work: what needs it fails, and says why. All else
 * is shown and holds, but the demo as a whole has not. */
static void quick_broken_gpu(void)
{
	struct cli cli;
	const json_t *cases, *one;
	json_t *json;
	size_t i;

	setenv("TCPX_GPU", "host", 1);
	setenv("TCPX_GPU_HOST_FAULT", "break:1", 1);
	CHECK_EQ(cli_run(&cli, "demo --quick --json"), 1);
	json = cli_json(&cli);
	CHECK(json_is_false(json_object_get(json, "held")));
	cases = json_object_get(json, "cases");
	CHECK_EQ(json_array_size(cases), 12);
	json_array_foreach(cases, i, one)
	{
		bool needs_gpu = i >= 8 && i < 11;

		CHECK_EQ(is_true(one, "verified"), !needs_gpu);
		CHECK_EQ(json_is_string(json_object_get(one, "failure")),
			 needs_gpu);
	}
	json_decref(json);
	cli_free(&cli);
	CHECK_EQ(cli_run(&cli, "demo --quick"), 1);
	cli_says(&cli.out, "failed: ");
	cli_says(&cli.out, "held: the transfer failed in ");
	cli_says(&cli.out, "\nNOT everything held in ");
	cli_says_not(&cli.out, "Everything held");
	cli_says(&cli.err, "device 0 failed");
	cli_free(&cli);
}

/* The table, the drawing and the verdict; nothing that moves the cursor,
 * for stderr is no terminal. */
static void quick_text(void)
{
	struct cli cli;

	CHECK_EQ(cli_run(&cli, "demo --quick"), 0);
	cli_says(&cli.out, "ratio  bytes\n");
	cli_says(&cli.out, "\nratio: median of the rounds' ratios");
	cli_says(&cli.out, "WRITE 8 + notification");
	cli_says(&cli.out, "  verified\n");
	cli_says(&cli.out, "peer killed in mid-transfer");
	cli_says(&cli.out, "held: the transfer failed in ");
	cli_says(&cli.out, "The path that carried it:");
	cli_says(&cli.out, "socket, rail 0: lo to 127.0.0.1:");
	cli_says(&cli.out, "by socket: ");
	cli_says(&cli.out, "\nEverything held in ");
	cli_says_not(&cli.out, "not by loop");
	cli_says_not(&cli.out, "\033");
	cli_says_not(&cli.out, "\r");
	cli_fits(&cli.out, 80);
	cli_silent(&cli.err);
	cli_free(&cli);
}

/* On a terminal a line that replaces itself, and is gone at the end; with
 * --verbose all there is to say. */
static void progress(void)
{
	struct cli cli;
	const char *err;

	if (!cli_start_tty(&cli, "demo --quick --verbose --flows 1"))
		SKIP("no terminal can be had here");
	cli_end(&cli);
	CHECK_EQ(cli.status, 0);
	cli_says(&cli.err, "\r\033[KWRITE 16M: warming up");
	cli_says(&cli.err, "\r\033[KWRITE 16M: round 2 of ");
	err = cli.err.text + cli.err.len;
	CHECK(cli.err.len > 4 && !strcmp(err - 4, "\r\033[K"));
	cli_says(&cli.out, "Everything held");
	cli_says_not(&cli.out, "\033");
	cli_says(&cli.out, "n_flows=1\n");
	cli_says(&cli.out, "not by loop: ");
	cli_says(&cli.out, ", 1 flow\n");
	cli_free(&cli);
}

static const struct check_case cases[] = {
	{"quick_json", quick_json, 60},
	{"quick_gpus", quick_gpus, 60},
	{"quick_broken_gpu", quick_broken_gpu, 60},
	{"quick_text", quick_text, 60},
	{"progress", progress, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
