/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_VARIABLES_H
#define CORE_VARIABLES_H

/* Variables of ours beside those of the settings table: the transports' own,
 * and what the command and the plugins read. */

struct log;

/* Warns of those with a name of ours that nobody reads. */
void variables_warn(const struct log *log);

#endif
