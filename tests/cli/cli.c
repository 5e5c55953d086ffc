/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include "check.h"
#include "support/proc.h"
#include "support/scale.h"

/* For anything a case waits for; its alarm is the last resort. */
#define WAIT_MS 60000

struct args {
	char *list[CLI_ARGS_MAX + 2];
	char line[1024];
};

static void split(const char *line, struct args *args)
{
	unsigned n = 0;
	char *state = NULL, *word;

	CHECK(strlen(line) < sizeof(args->line));
	strcpy(args->line, line);
	args->list[n++] = (char *)(uintptr_t)proc_path("TCPX_TEST_TOOL",
						       "../../tools/tcpx/tcpx");
	for (word = strtok_r(args->line, " ", &state); word;
	     word = strtok_r(NULL, " ", &state)) {
		CHECK(n <= CLI_ARGS_MAX);
		args->list[n++] = word;
	}
	args->list[n] = NULL;
}

/* What the thread sanitizer must not hold against the command: tsan.supp. No
 * names in its reports: the process that looks them up has words of its own
 * on stderr when ours is killed. */
static void quieten(void)
{
	const char *file = getenv("TCPX_TEST_TSAN");
	const char *options = getenv("TSAN_OPTIONS");
	char all[1024];

	if (!file || (options && strstr(options, file)))
		return;
	snprintf(all, sizeof(all), "%s%ssymbolize=0:suppressions=%s",
		 options ? options : "", options ? ":" : "", file);
	setenv("TSAN_OPTIONS", all, 1);
}

static void start(struct cli *cli, const char *line, int out, int err)
{
	struct args args;

	quieten();
	split(line, &args);
	fflush(NULL);
	cli->pid = fork();
	CHECK(cli->pid >= 0);
	if (cli->pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(0);
	if (dup2(open("/dev/null", O_RDONLY), 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(err, 2) < 0)
		_exit(126);
	execv(args.list[0], args.list);
	dprintf(2, "%s: %s\n", args.list[0], strerror(errno));
	_exit(127);
}

static void text_init(struct cli_text *text, int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	text->fd = fd;
	text->cap = 4096;
	text->text = malloc(text->cap);
	CHECK(text->text);
	text->text[0] = 0;
}

void cli_start(struct cli *cli, const char *line)
{
	int out[2], err[2];

	memset(cli, 0, sizeof(*cli));
	CHECK_EQ(pipe2(out, O_CLOEXEC), 0);
	CHECK_EQ(pipe2(err, O_CLOEXEC), 0);
	start(cli, line, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	text_init(&cli->out, out[0]);
	text_init(&cli->err, err[0]);
}

bool cli_start_tty(struct cli *cli, const char *line)
{
	int out[2], terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), end;

	memset(cli, 0, sizeof(*cli));
	if (terminal < 0 || grantpt(terminal) || unlockpt(terminal))
		return false;
	end = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (end < 0)
		return false;
	CHECK_EQ(pipe2(out, O_CLOEXEC), 0);
	start(cli, line, out[1], end);
	close(out[1]);
	close(end);
	text_init(&cli->out, out[0]);
	text_init(&cli->err, terminal);
	return true;
}

static void text_take(struct cli_text *text)
{
	ssize_t n;

	if (text->len + 4096 > text->cap) {
		text->cap *= 2;
		text->text = realloc(text->text, text->cap);
		CHECK(text->text);
	}
	n = read(text->fd, text->text + text->len, 4095);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* a terminal's end is an error, EIO */
		close(text->fd);
		text->fd = -1;
		return;
	}
	text->len += (size_t)n;
	text->text[text->len] = 0;
}

/* Takes what there is, waiting for something; fails when too late. */
static void take(struct cli *cli, uint64_t deadline_ns, const char *awaited)
{
	struct pollfd p[2] = {{.fd = cli->out.fd, .events = POLLIN},
			      {.fd = cli->err.fd, .events = POLLIN}};

	if (test_now_ns() > deadline_ns) {
		fprintf(stderr, "%s\n%s\n", cli->out.text, cli->err.text);
		check_fail(CHECK_AT, "waited too long for \"%s\"", awaited);
	}
	if (poll(p, 2, 100) <= 0)
		return;
	if (p[0].revents)
		text_take(&cli->out);
	if (p[1].revents)
		text_take(&cli->err);
}

static uint64_t deadline(void)
{
	return test_now_ns() + (uint64_t)scale_ms(WAIT_MS) * 1000000u;
}

void cli_await(struct cli *cli, const char *text)
{
	uint64_t deadline_ns = deadline();

	while (!strstr(cli->out.text, text) && !strstr(cli->err.text, text)) {
		if (cli->out.fd < 0 && cli->err.fd < 0) {
			fprintf(stderr, "%s\n", cli->err.text);
			check_fail(CHECK_AT, "ended without \"%s\"", text);
		}
		take(cli, deadline_ns, text);
	}
}

void cli_end(struct cli *cli)
{
	uint64_t deadline_ns = deadline();
	int status;

	while (cli->out.fd >= 0 || cli->err.fd >= 0)
		take(cli, deadline_ns, "its end");
	CHECK_EQ(waitpid(cli->pid, &status, 0), cli->pid);
	cli->status = WIFEXITED(status) ? WEXITSTATUS(status) :
					  -WTERMSIG(status);
	/* A sanitizer's own exit status is one of ours. */
	cli_says_not(&cli->err, "Sanitizer");
	cli_says_not(&cli->err, "runtime error");
}

void cli_stop(struct cli *cli, int number)
{
	kill(cli->pid, number);
	cli_end(cli);
}

int cli_run(struct cli *cli, const char *line)
{
	cli_start(cli, line);
	cli_end(cli);
	return cli->status;
}

void cli_free(struct cli *cli)
{
	free(cli->out.text);
	free(cli->err.text);
	memset(cli, 0, sizeof(*cli));
}

/* ---- what it printed --------------------------------------------------- */

json_t *cli_json(const struct cli *cli)
{
	json_error_t error;
	json_t *json = json_loads(cli->out.text, 0, &error);

	if (!json_is_object(json)) {
		fprintf(stderr, "%s\n%s\n", cli->out.text, cli->err.text);
		check_fail(CHECK_AT, "not one JSON object: %s", error.text);
	}
	return json;
}

void cli_says(const struct cli_text *text, const char *what)
{
	if (strstr(text->text, what))
		return;
	fprintf(stderr, "%s\n", text->text);
	check_fail(CHECK_AT, "there is no \"%s\"", what);
}

void cli_says_not(const struct cli_text *text, const char *what)
{
	const char *at = strstr(text->text, what);

	if (at) {
		fprintf(stderr, "%s\n", text->text);
		check_fail(CHECK_AT, "there is \"%s\"", what);
	}
}

void cli_silent(const struct cli_text *text)
{
	if (text->len)
		check_fail(CHECK_AT, "not silent: %s", text->text);
}

void cli_fits(const struct cli_text *text, size_t columns)
{
	const char *line = text->text;

	while (*line) {
		size_t n = strcspn(line, "\n");

		if (n > columns)
			check_fail(CHECK_AT, "%zu columns: %.*s", n, (int)n,
				   line);
		line += n + (line[n] == '\n');
	}
}

static bool has_type(const json_t *value, char type)
{
	switch (type) {
	case 's':
		return json_is_string(value);
	case 'i':
		return json_is_integer(value);
	case 'n':
		return json_is_number(value);
	case 'b':
		return json_is_boolean(value);
	case 'o':
		return json_is_object(value);
	case 'a':
		return json_is_array(value);
	default:
		return false;
	}
}

static void check_key(const json_t *object, const char *name, const char *type)
{
	const json_t *value = json_object_get(object, name);

	if (!value)
		check_fail(CHECK_AT, "no key \"%s\"", name);
	if (json_is_null(value) && type[1] == '?')
		return;
	if (!has_type(value, type[0]))
		check_fail(CHECK_AT, "key \"%s\" is not of type %s", name,
			   type);
}

void cli_keys(const json_t *object, const char *keys)
{
	char *copy = strdup(keys), *state = NULL, *word, *colon;
	size_t n = 0;

	CHECK(json_is_object(object) && copy);
	for (word = strtok_r(copy, " ", &state); word;
	     word = strtok_r(NULL, " ", &state), n++) {
		colon = strchr(word, ':');
		CHECK(colon);
		*colon = 0;
		check_key(object, word, colon + 1);
	}
	free(copy);
	if (n == json_object_size(object))
		return;
	char *all = json_dumps(object, JSON_COMPACT);

	check_fail(CHECK_AT, "%zu keys, not %zu: %s", json_object_size(object),
		   n, all);
}
