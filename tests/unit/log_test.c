/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/log.h"
#include "check.h"

struct seen {
	int n;
	enum tcpx_log_level level;
	char subsystem[16];
	char line[4096];
};

static void keep(void *arg, enum tcpx_log_level level, const char *subsystem,
		 const char *line)
{
	struct seen *seen = arg;

	seen->n++;
	seen->level = level;
	snprintf(seen->subsystem, sizeof(seen->subsystem), "%s", subsystem);
	snprintf(seen->line, sizeof(seen->line), "%s", line);
	errno = EDOM; /* a careless callback */
}

static void level_decides(void)
{
	struct seen seen = {0};
	struct log log = {.fn = keep, .arg = &seen, .level = TCPX_LOG_WARN};

	log_info(&log, "boot", "not this");
	CHECK_EQ(seen.n, 0);
	log_warn(&log, "boot", "peer %s gone", "b");
	CHECK_EQ(seen.n, 1);
	CHECK_EQ(seen.level, TCPX_LOG_WARN);
	CHECK_STR(seen.subsystem, "boot");
	CHECK_STR(seen.line, "peer b gone");
	log_error(&log, "boot", "this too");
	CHECK_EQ(seen.n, 2);
	log.level = TCPX_LOG_NONE;
	log_error(&log, "boot", "not this");
	CHECK_EQ(seen.n, 2);
}

static void no_callback_no_log(void)
{
	struct log log = {.level = TCPX_LOG_TRACE};

	log_error(&log, "boot", "nowhere %d", 1);
	log_error(NULL, "boot", "nowhere %d", 2);
}

static void errno_is_named_and_kept(void)
{
	struct seen seen = {0};
	struct log log = {.fn = keep, .arg = &seen, .level = TCPX_LOG_WARN};

	errno = ENOENT;
	log_warn(&log, "boot", "open: %m");
	CHECK_EQ(errno, ENOENT);
	CHECK_STR(seen.line, "open: No such file or directory");
}

static void long_lines_are_cut(void)
{
	struct seen seen = {0};
	struct log log = {.fn = keep, .arg = &seen, .level = TCPX_LOG_WARN};
	char big[3000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_warn(&log, "boot", "%s", big);
	CHECK_EQ(strlen(seen.line), 1023);
	CHECK_STR(seen.line + 1020, "...");
}

static void names_cannot_forge_lines(void)
{
	struct seen seen = {0};
	struct log log = {.fn = keep, .arg = &seen, .level = TCPX_LOG_WARN};

	log_warn(&log, "boot", "peer %s", "a\nerror: all lost\x1b[2J\xc3\xa9");
	CHECK_STR(seen.line, "peer a?error: all lost?[2J\xc3\xa9");
}

static const struct check_case cases[] = {
	{"level_decides", level_decides, 0},
	{"no_callback_no_log", no_callback_no_log, 0},
	{"errno_is_named_and_kept", errno_is_named_and_kept, 0},
	{"long_lines_are_cut", long_lines_are_cut, 0},
	{"names_cannot_forge_lines", names_cannot_forge_lines, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
