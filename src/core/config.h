/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <tcpx/p2p.h>

struct log;

/*
 * The settings table behind tcpx_config_init(), tcpx_config_json() and the
 * command's `tcpx config`: one row a setting (field, variable, aliases, kind,
 * default, allowed range, help).
 */

/*
 * A deep copy that is complete (a smaller, older struct of the program is
 * filled up with defaults) and checked: every bad field is logged with its
 * name, value and what is allowed. Free with config_free().
 * Returns 0, TCPX_EINVAL or TCPX_ENOMEM.
 */
int config_copy(const struct tcpx_config *from, struct log *log,
		struct tcpx_config **to);
void config_free(struct tcpx_config *config);
/* Where a program's struct says to log to; nowhere, if it is too short. */
void config_log(const struct tcpx_config *config, struct log *log);

#endif
