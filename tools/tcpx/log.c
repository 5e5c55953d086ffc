/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define N_HELD_MAX 32u
#define LINE_BYTES 512

struct held {
	enum tcpx_log_level level;
	char subsystem[24];
	char line[LINE_BYTES];
};

static struct {
	pthread_mutex_t lock;
	bool hushed, holding;
	unsigned n;
	struct held held[N_HELD_MAX];
	FILE *also;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *level_name(enum tcpx_log_level level)
{
	static const char *const names[] = {"",	    "error", "warning",
					    "info", "debug", "trace"};

	return (unsigned)level < 6 ? names[level] : "log";
}

static void print(enum tcpx_log_level level, const char *subsystem,
		  const char *line)
{
	fprintf(stderr, "%s: %s: %s\n", level_name(level), subsystem, line);
}

void log_stamp(FILE *file)
{
	struct timespec now;
	struct tm parts;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &parts);
	strftime(text, sizeof(text), "%F %T", &parts);
	fprintf(file, "%s.%03ld ", text, now.tv_nsec / 1000000);
}

void log_also(FILE *file)
{
	pthread_mutex_lock(&state.lock);
	state.also = file;
	pthread_mutex_unlock(&state.lock);
}

/* state.lock held */
static void print_also(enum tcpx_log_level level, const char *subsystem,
		       const char *line)
{
	if (!state.also)
		return;
	log_stamp(state.also);
	fprintf(state.also, "%s: %s: %s\n", level_name(level), subsystem, line);
}

/* state.lock held */
static void keep(enum tcpx_log_level level, const char *subsystem,
		 const char *line)
{
	struct held *held = &state.held[state.n++];

	held->level = level;
	snprintf(held->subsystem, sizeof(held->subsystem), "%s", subsystem);
	snprintf(held->line, sizeof(held->line), "%s", line);
}

void log_line(void *arg, enum tcpx_log_level level, const char *subsystem,
	      const char *line)
{
	(void)arg;
	pthread_mutex_lock(&state.lock);
	print_also(level, subsystem, line);
	if (state.hushed && level > TCPX_LOG_ERROR)
		;
	else if (state.holding && state.n < N_HELD_MAX)
		keep(level, subsystem, line);
	else
		print(level, subsystem, line);
	pthread_mutex_unlock(&state.lock);
}

void log_hush(bool hush)
{
	pthread_mutex_lock(&state.lock);
	state.hushed = hush;
	pthread_mutex_unlock(&state.lock);
}

void log_hold(void)
{
	pthread_mutex_lock(&state.lock);
	state.holding = true;
	state.n = 0;
	pthread_mutex_unlock(&state.lock);
}

static void print_held(const struct held *held)
{
	print(held->level, held->subsystem, held->line);
}

/* Prints what was kept but the one at `but`. */
static void release(unsigned but)
{
	for (unsigned i = 0; i < state.n; i++)
		if (i != but)
			print_held(&state.held[i]);
	state.holding = false;
	state.n = 0;
}

void log_release(void)
{
	pthread_mutex_lock(&state.lock);
	release(N_HELD_MAX);
	pthread_mutex_unlock(&state.lock);
}

void log_release_but_errors(void)
{
	pthread_mutex_lock(&state.lock);
	for (unsigned i = 0; i < state.n; i++)
		if (state.held[i].level != TCPX_LOG_ERROR)
			print_held(&state.held[i]);
	state.holding = false;
	state.n = 0;
	pthread_mutex_unlock(&state.lock);
}

void log_drop(void)
{
	pthread_mutex_lock(&state.lock);
	state.holding = false;
	state.n = 0;
	pthread_mutex_unlock(&state.lock);
}

void log_take_error(char *buf, size_t cap_bytes)
{
	unsigned last = N_HELD_MAX;

	pthread_mutex_lock(&state.lock);
	for (unsigned i = 0; i < state.n; i++)
		if (state.held[i].level == TCPX_LOG_ERROR)
			last = i;
	snprintf(buf, cap_bytes, "%s",
		 last < N_HELD_MAX ? state.held[last].line : "");
	release(last);
	pthread_mutex_unlock(&state.lock);
}

const char *log_held_error(unsigned i)
{
	const char *line = NULL;

	pthread_mutex_lock(&state.lock);
	for (unsigned k = 0; k < state.n && !line; k++)
		if (state.held[k].level == TCPX_LOG_ERROR && i-- == 0)
			line = state.held[k].line;
	pthread_mutex_unlock(&state.lock);
	return line;
}
