/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/netplugin/plugin.h"

/*
 * Plugins log from threads of their own, in floods (300,000 lines in 4 s were
 * seen), and with formats that do not always match. So: one short lock,
 * vsnprintf into a line, so many lines a second to the session's log, and the
 * last few kept for the moment when the plugin takes the process down.
 */

#define LINES_KEPT 12u
#define LINE_BYTES 240u
#define LINES_A_SECOND 20u
#define EXIT_AFTER_NS (200 * NS_PER_MS)

static struct {
	pthread_mutex_t lock;
	const struct log *to;
	char lines[LINES_KEPT][LINE_BYTES];
	uint64_t n_lines;
	uint64_t second_ns; /* when the running second began */
	uint32_t n_told, n_held; /* in it */
	uint64_t warned_ns; /* the last warning, and when */
	char warning[LINE_BYTES];
} words = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum tcpx_log_level level_of(int level)
{
	switch (level) {
	case NETPLUGIN_LOG_WARN:
	case NETPLUGIN_LOG_ABORT:
		return TCPX_LOG_WARN;
	case NETPLUGIN_LOG_TRACE:
		return TCPX_LOG_TRACE;
	default:
		return TCPX_LOG_DEBUG;
	}
}

/* Whether this one may go to the log; *held: how many before it could not.
 * The lock is held. */
static bool may_tell(uint32_t *held)
{
	uint64_t now = clock_coarse_ns();

	*held = 0;
	if (now - words.second_ns >= NS_PER_S) {
		*held = words.n_held;
		words.second_ns = now;
		words.n_told = words.n_held = 0;
	}
	if (words.n_told >= LINES_A_SECOND) {
		words.n_held++;
		return false;
	}
	words.n_told++;
	return true;
}

static const char *base_name(const char *file)
{
	const char *slash = file ? strrchr(file, '/') : NULL;

	return slash ? slash + 1 : file ? file : "?";
}

/* The lock is held. */
static void warned(const char *text)
{
	words.warned_ns = clock_now_ns();
	memcpy(words.warning, text, strlen(text) + 1);
}

/* The log is called with our lock held: a session that ends takes its log
 * away (plugin_log_forget) and must be sure that nobody is in it. It is one
 * whose lines only wait. */
void plugin_log(int level, unsigned long flags, const char *file, int line,
		const char *fmt, ...)
{
	char text[LINE_BYTES];
	uint32_t held;
	va_list args;

	(void)flags;
	if (!fmt)
		return;
	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	text[strcspn(text, "\n")] = '\0';
	pthread_mutex_lock(&words.lock);
	if (level_of(level) == TCPX_LOG_WARN)
		warned(text);
	if (level != NETPLUGIN_LOG_TRACE)
		memcpy(words.lines[words.n_lines++ % LINES_KEPT], text,
		       sizeof(text));
	if (words.to && level_of(level) <= words.to->level && may_tell(&held)) {
		if (held)
			log_warn(words.to, "plugin",
				 "and %u lines that are not shown", held);
		log_write(words.to, level_of(level), "plugin", "%s (%s:%d)",
			  text, base_name(file), line);
	}
	pthread_mutex_unlock(&words.lock);
}

/*
 * Plugins end the process with a warning and exit(1). All that can be done
 * from inside is to say so: to whoever uses it at that moment. An exit without
 * a fresh warning is the program's own.
 */
static void on_exit_of_process(void)
{
	if (pthread_mutex_trylock(&words.lock))
		return;
	if (words.to && words.n_lines &&
	    clock_now_ns() - words.warned_ns < EXIT_AFTER_NS) {
		log_error(words.to, "plugin",
			  "this process is ending, probably by the net plugin: "
			  "%s (a helper process would have saved it: "
			  "TCPX_NETPLUGIN_ISOLATE=1)",
			  words.warning);
		if (words.to->at_exit)
			words.to->at_exit(words.to->arg);
	}
	pthread_mutex_unlock(&words.lock);
}

static void add_hook(void)
{
	/* What it runs in is never unloaded: the plugin is not either. */
	if (atexit(on_exit_of_process))
		return;
}

void plugin_log_at_exit(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, add_hook);
}

void plugin_log_to(const struct log *log)
{
	pthread_mutex_lock(&words.lock);
	words.to = log;
	pthread_mutex_unlock(&words.lock);
}

void plugin_log_forget(const struct log *log)
{
	pthread_mutex_lock(&words.lock);
	if (words.to == log)
		words.to = NULL;
	pthread_mutex_unlock(&words.lock);
}

size_t plugin_last_words(char *buf, size_t cap_bytes)
{
	size_t used = 0;

	if (!cap_bytes)
		return 0;
	buf[0] = '\0';
	pthread_mutex_lock(&words.lock);
	uint64_t first =
		words.n_lines > LINES_KEPT ? words.n_lines - LINES_KEPT : 0;
	for (uint64_t i = first; i < words.n_lines; i++) {
		const char *line = words.lines[i % LINES_KEPT];
		size_t len = strlen(line);

		if (len + 2 > cap_bytes - used)
			break;
		memcpy(buf + used, line, len);
		memcpy(buf + used + len, "\n", 2);
		used += len + 1;
	}
	pthread_mutex_unlock(&words.lock);
	return used;
}
