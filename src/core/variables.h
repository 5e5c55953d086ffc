/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_VARIABLES_H
#define CORE_VARIABLES_H

/* Variables of ours beside those of the settings table: the transports' own,
 * and what the command and the plugins read. */

#include <jansson.h>

struct log;

/* Warns of those with a name of ours that nobody reads. */
void variables_warn(const struct log *log);
/* Names each of the transports' own whose value is none, in words. Texts are
 * the transport's to judge. 0 or TCPX_EINVAL. */
int variables_check(const struct log *log);
/* The rows of tcpx_config_json() for the transports' own, behind those that
 * are in the array. 0 or TCPX_ENOMEM. */
int variables_rows(json_t *array);

#endif
