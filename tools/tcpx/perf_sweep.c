/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcpx perf --sweep: the same measurement at every point of a grid of chunk
 * size, window and channels. They are settings of sessions, and a net plugin
 * can be started only once a process, so each point is a run of this program
 * with the same command line and the point's options behind it.
 */
#include "perf.h"

#include "clock.h"
#include "cmd.h"
#include "common/size.h"
#include "common/wrap.h"
#include "entry.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define POINT_WAIT_NS (600 * NS_PER_S)
#define OUTPUT_MAX (1u << 20)
#define ARGS_MAX 256

struct output {
	int fd; /* -1: at its end */
	char *text;
	size_t len;
};

struct point {
	uint64_t value[SWEEP_AXES];
	const char *failure;
};

static const struct {
	const char *option, *key, *setting;
	bool is_size;
} axes[SWEEP_AXES] = {
	[SWEEP_CHUNK] = {"chunk", "chunk_bytes", "chunk_bytes", true},
	[SWEEP_WINDOW] = {"window", "window_chunks", "window_chunks", false},
	[SWEEP_CHANNELS] = {"channels", "channels", "n_flows", false},
};

/* ---- a point's process ----------------------------------------------------- */

static _Noreturn void become_point(const struct perf_options *o,
				   const struct point *point, const int out,
				   const int err, pid_t parent)
{
	static char first[4][20] = {"tcpx", "perf", "--duration=500ms",
				    "--rounds=3"};
	static char last[2][10] = {"--json", "--point"};
	char text[SWEEP_AXES][40];
	char *args[ARGS_MAX + 12];
	int n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(EXIT_SETUP);
	/* shorter than usual, unless the command line says more */
	args[n++] = first[0];
	args[n++] = first[1];
	args[n++] = first[2];
	args[n++] = first[3];
	for (int i = 1; i < o->argc && i < ARGS_MAX; i++)
		args[n++] = o->argv[i];
	args[n++] = last[0];
	args[n++] = last[1];
	for (int i = 0; i < SWEEP_AXES; i++) {
		if (!o->sweep[i].n)
			continue;
		snprintf(text[i], sizeof(text[i]), "--%s=%llu", axes[i].option,
			 (unsigned long long)point->value[i]);
		args[n++] = text[i];
	}
	args[n] = NULL;
	execv("/proc/self/exe", args);
	_exit(EXIT_SETUP);
}

static void take(struct output *output)
{
	ssize_t n = read(output->fd, output->text + output->len,
			 OUTPUT_MAX - 1 - output->len);

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		close(output->fd);
		output->fd = -1;
		return;
	}
	output->len += (size_t)n;
	output->text[output->len] = '\0';
}

/* Until both are at their ends; false: too late. */
static bool take_all(struct output *out, struct output *err)
{
	uint64_t deadline_ns = now_ns() + POINT_WAIT_NS;

	while (out->fd >= 0 || err->fd >= 0) {
		struct pollfd p[2] = {{.fd = out->fd, .events = POLLIN},
				      {.fd = err->fd, .events = POLLIN}};

		if (poll(p, 2, left_ms(deadline_ns)) == 0)
			return false;
		if (p[0].revents)
			take(out);
		if (p[1].revents)
			take(err);
	}
	return true;
}

/* Starts it and waits. Its exit status, or -1. */
static int run_point(const struct perf_options *o, const struct point *point,
		     struct output *out, struct output *err)
{
	int outs[2], errs[2], status = -1;
	pid_t parent = getpid(), pid;

	out->len = err->len = 0;
	out->text[0] = err->text[0] = '\0';
	if (pipe2(outs, O_CLOEXEC))
		return -1;
	if (pipe2(errs, O_CLOEXEC)) {
		close(outs[0]);
		close(outs[1]);
		return -1;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_point(o, point, outs[1], errs[1], parent);
	close(outs[1]);
	close(errs[1]);
	out->fd = outs[0];
	err->fd = errs[0];
	if (pid < 0 || !take_all(out, err)) {
		if (pid > 0)
			kill(pid, SIGKILL);
		close(out->fd);
		close(err->fd);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- what came of it -------------------------------------------------------- */

static const json_t *last_case(const json_t *report)
{
	const json_t *cases = json_object_get(report, "cases");

	return json_array_get(cases, json_array_size(cases) - 1);
}

static double speed_of(const json_t *one)
{
	return json_number_value(json_object_get(one, "gigabytes_per_s"));
}

/* The last line a process complained in. */
static const char *last_line(struct output *err)
{
	char *line;

	while (err->len && err->text[err->len - 1] == '\n')
		err->text[--err->len] = '\0';
	line = strrchr(err->text, '\n');
	line = line ? line + 1 : err->text;
	line += strncmp(line, "error: ", 7) ? 0 : 7;
	return *line ? line : "no reason given";
}

/* The point as JSON: its settings in force, and the case or why there is
 * none. *speed: 0 if it did not hold. */
static json_t *point_json(const json_t *report, int status, struct output *err,
			  double *speed)
{
	const json_t *settings = json_object_get(report, "settings");
	const json_t *session = json_object_get(settings, "session");
	json_t *one = (json_t *)last_case(report);
	const char *failure =
		json_string_value(json_object_get(one, "failure"));
	bool held = status == EXIT_HELD && one;

	if (!held && !failure)
		failure = last_line(err);
	*speed = held ? speed_of(one) : 0;
	return json_pack("{sO* sO* sO* sO? sO* ss? sb}", "chunk_bytes",
			 json_object_get(session, "chunk_bytes"),
			 "window_chunks",
			 json_object_get(session, "window_chunks"), "channels",
			 json_object_get(session, "n_flows"), "case", one,
			 "cut", json_object_get(report, "cut"), "failure",
			 held ? NULL : failure, "held", held);
}

/* What was asked for, where the process did not get as far as saying it. */
static void complete(const struct perf_options *o, const struct point *point,
		     json_t *json)
{
	for (int i = 0; i < SWEEP_AXES; i++) {
		if (json_object_get(json, axes[i].key))
			continue;
		json_object_set_new(
			json, axes[i].key,
			o->sweep[i].n ?
				json_integer((json_int_t)point->value[i]) :
				json_null());
	}
	if (!json_object_get(json, "cut"))
		json_object_set_new(json, "cut", json_array());
}

static bool is_cut(const json_t *point)
{
	return json_array_size(json_object_get(point, "cut")) > 0;
}

/* Of what is swept: then it was measured at another point than it says. */
static bool is_elsewhere(const struct perf_options *o, const json_t *point)
{
	const json_t *cut = json_object_get(point, "cut");

	for (int i = 0; i < SWEEP_AXES; i++)
		if (o->sweep[i].n && entry_of(cut, "setting", axes[i].setting))
			return true;
	return false;
}

static void print_axis(const json_t *json, int axis)
{
	const json_t *value = json_object_get(json, axes[axis].key);
	uint64_t n = (uint64_t)json_integer_value(value);
	char text[32];

	if (!json_is_integer(value))
		snprintf(text, sizeof(text), "-");
	else if (!n)
		snprintf(text, sizeof(text), "auto");
	else if (axes[axis].is_size)
		size_format(n, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	printf("%9s", text);
}

static void print_cut(const json_t *json)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(json, "cut"), i, one)
	{
		const char *variable =
			json_string_value(json_object_get(one, "variable"));
		json_int_t asked =
			json_integer_value(json_object_get(one, "asked"));
		json_int_t got =
			json_integer_value(json_object_get(one, "got"));

		printf("    cut: %s: %lld asked for, %lld got\n", variable,
		       (long long)asked, (long long)got);
	}
}

/* mark: it is the best so far. */
static void print_point(const json_t *json, bool mark)
{
	const json_t *one = json_object_get(json, "case");
	const char *failure =
		json_string_value(json_object_get(json, "failure"));
	const char *transport =
		json_string_value(json_object_get(one, "transport"));
	long long flows = json_integer_value(json_object_get(one, "flows"));
	char text[512];

	for (int i = 0; i < SWEEP_AXES; i++)
		print_axis(json, i);
	if (failure) {
		snprintf(text, sizeof(text), "failed: %s", failure);
		putchar('\n');
		text_wrap(stdout, 4, 6, text);
	} else {
		printf(" %8.3f%c %9.0f us  %s, %lld flow%s, %s\n",
		       speed_of(one), mark ? '*' : ' ',
		       json_number_value(json_object_get(one, "p50_us")),
		       transport, flows, flows == 1 ? "" : "s",
		       json_is_true(json_object_get(one, "verified")) ?
			       "verified" :
			       "not checked");
		print_cut(json);
	}
	fflush(stdout);
}

/* As options, to be used from now on. */
static void print_best(const struct perf_options *o, const json_t *best)
{
	char text[32];

	if (!best)
		return;
	printf("\n* best:");
	for (int i = 0; i < SWEEP_AXES; i++) {
		const json_t *value = json_object_get(best, axes[i].key);

		if (o->sweep[i].n)
			printf(" --%s %s", axes[i].option,
			       size_format((uint64_t)json_integer_value(value),
					   text, sizeof(text)));
	}
	printf(", %.3f GB/s\n", speed_of(json_object_get(best, "case")));
}

/* ---- all of them ------------------------------------------------------------ */

struct sweep {
	const struct perf_options *o;
	struct output out, err;
	json_t *points, *settings;
	json_int_t best; /* -1: none */
	double best_speed;
	unsigned n_done, n_all;
	bool held, cut;
};

static void one_point(struct sweep *s, const struct point *point)
{
	json_t *report, *json;
	double speed;
	int status;

	progress("point %u of %u", s->n_done + 1, s->n_all);
	status = run_point(s->o, point, &s->out, &s->err);
	progress_clear();
	report = json_loads(s->out.text, 0, NULL);
	json = point_json(report, status, &s->err, &speed);
	complete(s->o, point, json);
	if (report && !s->settings)
		s->settings = json_incref(json_object_get(report, "settings"));
	if (speed > s->best_speed && !is_elsewhere(s->o, json)) {
		s->best_speed = speed;
		s->best = s->n_done;
	}
	s->held = s->held && speed > 0;
	s->cut = s->cut || is_cut(json);
	if (!s->o->json)
		print_point(json, s->best == (json_int_t)s->n_done);
	json_array_append_new(s->points, json);
	json_decref(report);
	s->n_done++;
}

/* An axis that is not swept has one value that is not given. */
static unsigned values(const struct perf_options *o, int axis)
{
	return o->sweep[axis].n ? o->sweep[axis].n : 1;
}

static void all_points(struct sweep *s)
{
	const struct perf_options *o = s->o;

	for (unsigned i = 0; i < s->n_all; i++) {
		struct point point;
		unsigned rest = i;

		for (int k = SWEEP_AXES; k-- > 0;) {
			point.value[k] = o->sweep[k].value[rest % values(o, k)];
			rest /= values(o, k);
		}
		one_point(s, &point);
	}
}

static void report_all(struct sweep *s)
{
	json_t *best = s->best < 0 ? NULL :
				     json_array_get(s->points, (size_t)s->best);

	if (!s->o->json) {
		print_best(s->o, best);
		if (s->cut)
			puts("cut: by the server; start it with "
			     "--chunk 4M --window 1024 --channels 16");
		json_decref(s->points);
		json_decref(s->settings);
		return;
	}
	report_object(json_pack("{so? so so sb}", "settings", s->settings,
				"points", s->points, "best",
				best ? json_integer(s->best) : json_null(),
				"held", s->held));
}

int perf_sweep(const struct perf_options *o)
{
	struct sweep s = {.o = o, .best = -1, .n_all = 1, .held = true};

	for (int i = 0; i < SWEEP_AXES; i++)
		s.n_all *= values(o, i);
	s.out.text = malloc(OUTPUT_MAX);
	s.err.text = malloc(OUTPUT_MAX);
	s.points = json_array();
	if (!s.out.text || !s.err.text || !s.points) {
		complain("no memory");
		return EXIT_SETUP;
	}
	if (!o->json)
		printf("%9s%9s%9s %8s  %12s  %u point%s\n", "chunk", "window",
		       "channels", "GB/s", "p50", s.n_all,
		       s.n_all == 1 ? "" : "s");
	all_points(&s);
	report_all(&s);
	free(s.out.text);
	free(s.err.text);
	if (s.held)
		return EXIT_HELD;
	return s.best < 0 ? EXIT_SETUP : EXIT_BROKE;
}
