/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_REPORT_H
#define PLUGINS_NIXL_REPORT_H

/*
 * Says how each peer is reached: a line of log when it connects (level info),
 * and, if there is a folder for it, a file that holds it for all that are
 * connected now:
 *
 *   FOLDER/tcpx-nixl-PID-N.json
 *   {"agent": ..., "pid": ..., "port": ..., "peers": [...], ...}
 *
 * which README.md describes: `tcpx nixl paths` reads it.
 * The file is replaced at once, never half written, and removed at the end.
 * Threads: one at a time.
 */

#include <set>
#include <string>

#include <tcpx/p2p.h>

#include "say.h"

class report
{
      public:
	report(struct tcpx_session *session, const struct say &say,
	       const std::string &folder);
	~report();

	void connected(uint64_t peer);
	void lost(uint64_t peer);

      private:
	std::string describe(uint64_t peer) const;
	void write_file();

	struct tcpx_session *const session_;
	const struct say &say_;
	std::string path_; /* "": no file */
	std::set<uint64_t> peers_;
};

#endif
