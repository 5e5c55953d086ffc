/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

static std::atomic<unsigned int> n_files;

/* ---- in words --------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

static std::string rails_sentence(const json_t *rails)
{
	std::string text;
	size_t i;
	json_t *rail;

	json_array_foreach(rails, i, rail)
	{
		text += i ? ", " : "";
		const char *remote = text_of(rail, "remote");

		text += text_of(rail, "ifname");
		/* Of flows that came to us it is not known. */
		if (*remote)
			text += std::string(" to ") + remote;
		text += " (";
		text += std::to_string(
			json_integer_value(json_object_get(rail, "flows")));
		text += " flows)";
	}
	return text;
}

/* "host to host by socket: eth0 to 192.0.2.2:4711 (2 flows); why" */
static std::string pair_sentence(const json_t *pair)
{
	std::string text = text_of(pair, "local");

	text += " to ";
	text += text_of(pair, "remote");
	text += " by ";
	text += text_of(pair, "transport");
	text += ": ";
	text += rails_sentence(json_object_get(pair, "rails"));
	text += "; ";
	text += text_of(pair, "why");
	return text;
}

/* ---- the file's surroundings ------------------------------------------ */

/* NULL, or why files of ours do not belong there: whoever can write to it
 * could make us write elsewhere. */
static const char *folder_fault(const char *folder)
{
	struct stat st;

	if (mkdir(folder, 0700) && errno != EEXIST)
		return strerror(errno);
	if (lstat(folder, &st))
		return strerror(errno);
	if (!S_ISDIR(st.st_mode))
		return "it is not a directory";
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return "others may write to it";
	return nullptr;
}

/* Field 22 of /proc/self/stat: with it, our number is ours alone. The second
 * field is the program's name in parentheses, which may hold anything. */
static long long start_ticks()
{
	char line[1024];
	FILE *f = fopen("/proc/self/stat", "re");
	const char *at = f && fgets(line, sizeof(line), f) ?
				 strrchr(line, ')') :
				 nullptr;

	if (f)
		fclose(f);
	for (int i = 0; at && i < 20; i++)
		at = strchr(at + 1, ' ');
	return at ? atoll(at + 1) : -1;
}

static long long pid_namespace()
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ?
		       -1 :
		       static_cast<long long>(st.st_ino);
}

/* ---- the report ------------------------------------------------------- */

report::report(struct tcpx_session *session, const struct say &say,
	       const std::string &folder)
	: session_(session), say_(say)
{
	const char *fault = folder.empty() ? nullptr :
					     folder_fault(folder.c_str());

	if (fault)
		say_.write(TCPX_LOG_INFO, "path", "no descriptions in %s: %s",
			   folder.c_str(), fault);
	if (fault || folder.empty())
		return;
	path_ = folder + "/tcpx-nixl-" + std::to_string(getpid()) + "-" +
		std::to_string(n_files++) + ".json";
	write_file();
}

report::~report()
{
	if (!path_.empty())
		unlink(path_.c_str());
}

std::string report::describe(uint64_t peer) const
{
	size_t len = 0;
	std::string text;

	/* What is described may grow between the two calls. */
	for (int tries = 0; tries < 3; tries++) {
		text.resize(len + 256);
		int err = tcpx_peer_describe(session_, peer, &text[0],
					     text.size(), &len);

		if (err != TCPX_ENOSPC) {
			text.resize(err ? 0 : len);
			return text;
		}
	}
	return "";
}

void report::connected(uint64_t peer)
{
	peers_.insert(peer);
	write_file();
	if (!say_.shows(TCPX_LOG_INFO))
		return;
	json_t *path = json_loads(describe(peer).c_str(), 0, nullptr);
	size_t i;
	json_t *pair;

	json_array_foreach(json_object_get(path, "pairs"), i, pair)
		say_.write(TCPX_LOG_INFO, "path", "agent %s: %s",
			   text_of(path, "name"), pair_sentence(pair).c_str());
	json_decref(path);
}

void report::lost(uint64_t peer)
{
	if (peers_.erase(peer))
		write_file();
}

void report::write_file()
{
	if (path_.empty())
		return;
	json_t *all = json_array();

	for (uint64_t peer : peers_) {
		json_t *one = json_loads(describe(peer).c_str(), 0, nullptr);

		if (one)
			json_array_append_new(all, one);
	}
	json_t *root = json_pack(
		"{s:i,s:s%,s:i,s:I,s:I,s:s,s:i,s:o}", "format", 1, "agent",
		say_.who.data(), say_.who.size(), "pid",
		static_cast<int>(getpid()), "start_ticks",
		static_cast<json_int_t>(start_ticks()), "pid_namespace",
		static_cast<json_int_t>(pid_namespace()), "version",
		tcpx_version(), "port",
		static_cast<int>(tcpx_session_port(session_)), "peers", all);
	std::string fresh = path_ + ".new";

	if (!root || json_dump_file(root, fresh.c_str(), JSON_COMPACT) ||
	    rename(fresh.c_str(), path_.c_str())) {
		say_.write(TCPX_LOG_WARN, "path", "cannot write %s: %s",
			   path_.c_str(), strerror(errno));
		path_.clear();
	}
	json_decref(root);
}
