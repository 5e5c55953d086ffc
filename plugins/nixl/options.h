/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_OPTIONS_H
#define PLUGINS_NIXL_OPTIONS_H

/*
 * The backend's parameters. Each setting of the library is one, under its
 * variable's name without TCPX_ and in lower case: TCPX_IFNAMES is `ifnames`.
 * A parameter beats the variable; an empty one is one that is not given.
 * connect_timeout_ms, if neither is given, is at most liveness_ms.
 */

#include <string>

#include <tcpx/p2p.h>

#include "abi.h"
#include "say.h"

struct options {
	struct tcpx_config config;
	/* TCPX_DESCRIBE_DIR, `describe_dir`: folder for the file that
	 * says how each peer is reached; "": none. */
	std::string describe_dir;
	/* What strings in config point to. */
	abi::params kept;
};

/*
 * Defaults, the environment, then the user's. Sets say->level too.
 * Returns 0 or TCPX_EINVAL; the log says which one is bad and why.
 */
int options_read(const abi::params &user, struct say *say, options *out);
/* What is in force without parameters: for NIXL's getPluginParams(). Handing
 * it back to createBackend() changes nothing. */
abi::params options_shown();

#endif
