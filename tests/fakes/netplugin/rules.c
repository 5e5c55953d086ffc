/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf.h"
#include "double.h"

#define EXPORT __attribute__((visibility("default")))
#define N_RULES 27

static _Atomic uint64_t hits[N_RULES]; /* [0]: all of them */
static _Atomic(netplugin_log_fn) logger;
static atomic_int n_in_control;

EXPORT uint64_t double_hits(int rule)
{
	return rule >= 0 && rule < N_RULES ? atomic_load(&hits[rule]) : 0;
}

static void report(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0)
		return;
	if (write(fd, line, strlen(line)) < 0)
		fprintf(stderr, "double: no report in %s\n", path);
	close(fd);
}

void rules_broken(int rule, const char *fmt, ...)
{
	const struct conf *conf = conf_get();
	bool fatal = conf->strict && !(conf->allowed & 1u << rule);
	char what[256], line[320];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	snprintf(line, sizeof(line), "double: rule %d: %s\n", rule, what);
	atomic_fetch_add(&hits[0], 1);
	/* Once each is enough where nothing stops the caller. */
	if (atomic_fetch_add(&hits[rule], 1) == 0 || fatal) {
		fputs(line, stderr);
		if (conf->report)
			report(conf->report, line);
	}
	if (fatal)
		abort();
}

_Noreturn void rules_exit(const char *words)
{
	rules_warn("%s", words);
	fprintf(stderr, "NET/GPUDirectTCPX : %s\n", words);
	exit(1);
}

_Noreturn void rules_die(int number)
{
	signal(number, SIG_DFL);
	raise(number);
	_exit(128 + number); /* blocked, then: the end all the same */
}

_Noreturn void rules_crash(void)
{
	rules_die(SIGSEGV);
}

void rules_set_log(netplugin_log_fn log)
{
	atomic_store(&logger, log);
}

__attribute__((format(printf, 3, 0))) static void
say(int level, unsigned long flags, const char *fmt, va_list args)
{
	netplugin_log_fn log = atomic_load(&logger);
	char text[512];

	vsnprintf(text, sizeof(text), fmt, args);
	if (log)
		log(level, flags, __FILE__, __LINE__, "NET/GPUDirectTCPX : %s",
		    text);
}

void rules_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(NETPLUGIN_LOG_WARN, NETPLUGIN_LOG_FLAG_NET, fmt, args);
	va_end(args);
}

void rules_info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(NETPLUGIN_LOG_INFO, NETPLUGIN_LOG_FLAG_NET, fmt, args);
	va_end(args);
}

static void *flood(void *arg)
{
	int hz = conf_get()->log_flood_hz;
	netplugin_log_fn log = atomic_load(&logger);

	for (unsigned i = 0;; i++) {
		log(NETPLUGIN_LOG_WARN, NETPLUGIN_LOG_FLAG_NET, __FILE__,
		    __LINE__, "No free space for recv task %u", i);
		rules_sleep_us(1000000 / hz);
	}
	return arg;
}

void rules_log_odd(void)
{
	netplugin_log_fn log = atomic_load(&logger);
	pthread_t thread;

	if (!log)
		return;
	log(NETPLUGIN_LOG_INFO, NETPLUGIN_LOG_FLAG_INIT, __FILE__, __LINE__,
	    "NET/GPUDirectTCPX : limit %d of %s", (size_t)16, (char *)NULL);
	if (conf_get()->log_flood_hz &&
	    pthread_create(&thread, NULL, flood, NULL) == 0)
		pthread_detach(thread);
}

void rules_check_sigpipe(const char *name)
{
	struct sigaction action;
	sigset_t blocked;

	if (!conf_get()->strict)
		return;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	if (sigismember(&blocked, SIGPIPE) == 1)
		return;
	if (sigaction(SIGPIPE, NULL, &action) == 0 &&
	    !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL)
		rules_broken(25, "SIGPIPE is open in a thread that calls %s",
			     name);
}

void rules_control_begin(const char *name)
{
	if (atomic_fetch_add(&n_in_control, 1) > 0)
		rules_broken(24, "%s beside another control call", name);
	rules_check_sigpipe(name);
}

void rules_control_end(void)
{
	atomic_fetch_sub(&n_in_control, 1);
}

uint64_t rules_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void rules_sleep_us(int64_t us)
{
	struct timespec ts = {us / 1000000, us % 1000000 * 1000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}
