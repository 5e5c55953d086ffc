/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_REFUSAL_H
#define NETPLUGIN_REFUSAL_H

/*
 * Why the last listen, connect or accept of this thread failed: these give a
 * status and leave nothing behind that could hold the words.
 */

void refusal_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *refusal_get(void); /* "": nothing is known */

struct transport_params;
/* The transport does not open: to the log, and to whoever wants to open it. */
void refusal_of_open(const struct transport_params *params, const char *why);

#endif
