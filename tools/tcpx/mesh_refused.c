/* SPDX-License-Identifier: Apache-2.0 */
/* Who knocked at rank 0 and was sent away: it has no rank that could be told,
 * for that is said by those who were let in. */
#include "mesh.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

/* "connection from 10.0.0.7:40722: why" */
static bool is_refusal(enum tcpx_log_level level, const char *subsystem,
		       const char *line)
{
	return level <= TCPX_LOG_WARN && !strcmp(subsystem, "boot") &&
	       !strncmp(line, "connection from ", 16);
}

void mesh_refused_log(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line)
{
	struct mesh_refused *refused = arg;

	if (is_refusal(level, subsystem, line)) {
		pthread_mutex_lock(&refused->lock);
		snprintf(refused->last, sizeof(refused->last), "%s", line);
		refused->n++;
		pthread_mutex_unlock(&refused->lock);
	}
	log_line(NULL, level, subsystem, line);
}

const char *mesh_refused_text(struct mesh_refused *refused, char *buf,
			      size_t cap_bytes)
{
	pthread_mutex_lock(&refused->lock);
	if (!refused->n)
		snprintf(buf, cap_bytes, "nobody was sent away");
	else if (refused->n == 1)
		snprintf(buf, cap_bytes, "one was sent away: %s",
			 refused->last);
	else
		snprintf(buf, cap_bytes, "%u were sent away, the last: %s",
			 refused->n, refused->last);
	pthread_mutex_unlock(&refused->lock);
	return buf;
}
