/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/refusal.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "transport/transport.h"

static _Thread_local char words[256];

void refusal_set(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
}

void refusal_of_open(const struct transport_params *params, const char *why)
{
	log_warn(params->log, "netplugin", "%s", why);
	if (params->why)
		snprintf(params->why, params->why_bytes, "%s", why);
}

const char *refusal_get(void)
{
	return words;
}
