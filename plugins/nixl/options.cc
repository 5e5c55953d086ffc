/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <strings.h>
#include <unistd.h>
#include <vector>

#include <jansson.h>

#define DESCRIBE_DIR "describe_dir"
#define SLIP_MAX 2u /* letters that differ: more are another word */

namespace
{

/* ---- one parameter ---------------------------------------------------- */

/* Reads a value into a field; ranges are the library's to check. */
using read_fn = bool (*)(const std::string &value, void *field);

bool read_text(const std::string &value, void *field)
{
	*static_cast<const char **>(field) = value.c_str();
	return true;
}

bool parse_whole(const char *text, char **end, int64_t *out)
{
	errno = 0;
	*out = strtoll(text, end, 10);
	return *end != text && !errno;
}

template <class number>
bool read_number(const std::string &value, void *field)
{
	int64_t whole;
	char *end;

	if (!parse_whole(value.c_str(), &end, &whole) || *end)
		return false;
	*static_cast<number *>(field) = static_cast<number>(whole);
	return static_cast<int64_t>(*static_cast<number *>(field)) == whole;
}

/* "64K", "64KiB": powers of 1024. */
template <class number>
bool read_size(const std::string &value, void *field)
{
	static const char units[] = "KMGT";
	int64_t bytes;
	char *end;

	if (!parse_whole(value.c_str(), &end, &bytes) || bytes < 0)
		return false;
	const char *unit = *end ? strchr(units, *end & ~0x20) : nullptr;

	if (*end && !unit)
		return false;
	int shift = unit ? static_cast<int>(unit - units + 1) * 10 : 0;

	if (unit && end[1] && strcmp(end + 1, "iB") && strcmp(end + 1, "B"))
		return false;
	if (bytes > INT64_MAX >> shift)
		return false;
	bytes <<= shift;
	*static_cast<number *>(field) = static_cast<number>(bytes);
	return static_cast<int64_t>(*static_cast<number *>(field)) == bytes;
}

bool read_bool(const std::string &value, void *field)
{
	for (const char *yes : {"1", "yes", "true", "on"})
		if (!strcasecmp(value.c_str(), yes))
			return *static_cast<bool *>(field) = true;
	*static_cast<bool *>(field) = false;
	for (const char *no : {"0", "no", "false", "off"})
		if (!strcasecmp(value.c_str(), no))
			return true;
	return false;
}

bool read_level(const std::string &value, void *field)
{
	static const char *const names[] = {"none", "error", "warn",
					    "info", "debug", "trace"};

	for (int i = TCPX_LOG_NONE; i <= TCPX_LOG_TRACE; i++) {
		if (strcasecmp(value.c_str(), names[i]))
			continue;
		*static_cast<enum tcpx_log_level *>(field) =
			static_cast<enum tcpx_log_level>(i);
		return true;
	}
	return false;
}

/* "n" or "first-last", into two fields. */
bool read_ports(const std::string &value, void *field)
{
	auto *ports = static_cast<uint16_t *>(field);
	int64_t first, last;
	char *end;

	if (!parse_whole(value.c_str(), &end, &first))
		return false;
	last = first;
	if (*end == '-' && !parse_whole(end + 1, &end, &last))
		return false;
	if (*end || first < 0 || last < first || last > UINT16_MAX)
		return false;
	ports[0] = static_cast<uint16_t>(first);
	ports[1] = static_cast<uint16_t>(last);
	return true;
}

struct row {
	const char *name;
	size_t offset;
	read_fn read;
};

#define ROW(name, field, read)                                                 \
	{                                                                      \
		name, offsetof(struct tcpx_config, field), read                \
	}

const row rows[] = {
	ROW("log_level", log_level, read_level),
	ROW("secret", secret, read_text),
	ROW("bind", bind, read_text),
	ROW("ifnames", ifnames, read_text),
	ROW("ctrl_ifname", ctrl_ifname, read_text),
	ROW("advertise", advertise, read_text),
	ROW("transports", transports, read_text),
	ROW("port", port_first, read_ports),
	ROW("workers", n_workers, read_number<int32_t>),
	ROW("flows", n_flows, read_number<uint32_t>),
	ROW("rails", n_rails, read_number<uint32_t>),
	ROW("chunk_bytes", chunk_bytes, read_size<uint32_t>),
	ROW("window_chunks", window_chunks, read_number<uint32_t>),
	ROW("small_bytes", small_bytes, read_size<uint32_t>),
	ROW("copy_below", copy_below_bytes, read_size<uint32_t>),
	ROW("socket_buffer", socket_buffer_bytes, read_size<uint32_t>),
	ROW("busy_poll_us", busy_poll_us, read_number<uint32_t>),
	ROW("gpu", gpu, read_text),
	ROW("gpu_slots", gpu_slots, read_number<uint32_t>),
	ROW("gpu_copy_engine", gpu_copy_engine, read_bool),
	ROW("gpu_resident", gpu_resident, read_bool),
	ROW("connect_timeout_ms", connect_timeout_ms, read_number<uint32_t>),
	ROW("liveness_ms", liveness_ms, read_number<uint32_t>),
	ROW("deadline_ms", deadline_ms, read_number<uint32_t>),
	ROW("max_half_open", max_half_open, read_number<uint32_t>),
	ROW("notify_queue_bytes", notify_queue_bytes, read_size<uint64_t>),
	ROW("max_peers", max_peers, read_number<uint32_t>),
	ROW("checksum", checksum, read_bool),
};

/* What frameworks hand to every backend, whichever it is. */
const char *const of_others[] = {
	"num_workers",
	"num_threads",
	"split_batch_size",
	"device_list",
	"engine_config",
	"ucx_devices",
	"ucx_error_handling_mode",
};

const row *find_row(const std::string &name)
{
	for (const row &one : rows)
		if (name == one.name)
			return &one;
	return nullptr;
}

bool of_another(const std::string &name)
{
	for (const char *other : of_others)
		if (name == other)
			return true;
	return false;
}

/* How many letters are to be put in, taken out or changed. */
size_t distance(const std::string &a, const std::string &b)
{
	std::vector<size_t> row(b.size() + 1);

	for (size_t j = 0; j <= b.size(); j++)
		row[j] = j;
	for (size_t i = 1; i <= a.size(); i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.size(); j++) {
			size_t above = row[j];

			row[j] = std::min({above + 1, row[j - 1] + 1,
					   diagonal + (a[i - 1] != b[j - 1])});
			diagonal = above;
		}
	}
	return row[b.size()];
}

/* "; did you mean ifnames", or nothing. */
std::string meant(const std::string &name)
{
	const char *nearest = DESCRIBE_DIR;
	size_t least = distance(name, nearest);

	for (const row &one : rows) {
		size_t n = distance(name, one.name);

		if (n < least)
			nearest = one.name;
		least = std::min(least, n);
	}
	return least > SLIP_MAX ? "" : std::string("; did you mean ") + nearest;
}

void keep_line(void *arg, enum tcpx_log_level, const char *, const char *line)
{
	*static_cast<std::string *>(arg) = line;
}

/* What the library has against a setting; "": nothing. All before were good. */
std::string fault_of(struct tcpx_config config)
{
	std::string fault;
	size_t len;

	config.log_fn = keep_line;
	config.log_arg = &fault;
	config.log_level = TCPX_LOG_ERROR;
	if (tcpx_config_json(&config, nullptr, 0, &len) != TCPX_EINVAL)
		return "";
	return fault.empty() ? "it is not allowed" : fault;
}

void unknown(const std::string &name, const struct say &say)
{
	if (of_another(name))
		say.write(TCPX_LOG_DEBUG, "options",
			  "there is no parameter %s; ignored", name.c_str());
	else
		say.write(TCPX_LOG_WARN, "options",
			  "there is no parameter %s; ignored%s", name.c_str(),
			  meant(name).c_str());
}

int set(const row &one, const std::string &value, const struct say &say,
	struct tcpx_config *config)
{
	struct tcpx_config with = *config;
	bool secret = !strcmp(one.name, "secret");

	if (!one.read(value, reinterpret_cast<char *>(&with) + one.offset)) {
		say.write(TCPX_LOG_ERROR, "options",
			  "parameter %s cannot be \"%s\"; \"tcpx config\" "
			  "says what is allowed",
			  one.name, secret ? "(hidden)" : value.c_str());
		return TCPX_EINVAL;
	}
	std::string fault = fault_of(with);

	if (!fault.empty()) {
		say.write(TCPX_LOG_ERROR, "options", "parameter %s: %s",
			  one.name, fault.c_str());
		return TCPX_EINVAL;
	}
	*config = with;
	return 0;
}

/* The value lives on in out->kept, for texts. */
int take(const std::string &name, const std::string &value,
	 const struct say &say, options *out)
{
	const row *found = find_row(name);

	if (value.empty())
		return 0;
	if (found)
		return set(*found, value, say, &out->config);
	if (name == DESCRIBE_DIR)
		out->describe_dir = value;
	else
		unknown(name, say);
	return 0;
}

/* NIXL is to hear of a peer that is gone within the liveness time, and it
 * gives us connection information only of peers that were there. */
void limit_connecting(const abi::params &user, struct tcpx_config *config)
{
	auto given = user.find("connect_timeout_ms");

	if ((given == user.end() || given->second.empty()) &&
	    !getenv("TCPX_CONNECT_TIMEOUT_MS") &&
	    config->connect_timeout_ms > config->liveness_ms)
		config->connect_timeout_ms = config->liveness_ms;
}

/* ---- shown ------------------------------------------------------------ */

std::string lower(const char *text)
{
	std::string result;

	for (; *text; text++)
		result += static_cast<char>(
			*text >= 'A' && *text <= 'Z' ? *text | 0x20 : *text);
	return result;
}

std::string value_text(const json_t *value)
{
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_integer(value))
		return std::to_string(json_integer_value(value));
	if (json_is_boolean(value))
		return json_is_true(value) ? "on" : "off";
	return "";
}

void add_shown(const json_t *setting, abi::params *shown)
{
	const char *variable =
		json_string_value(json_object_get(setting, "variable"));

	if (!variable || strncmp(variable, "TCPX_", 5))
		return;
	std::string name = lower(variable + 5);

	/* The agent's name is the session's; a secret is not shown. */
	if (find_row(name) && name != "secret")
		(*shown)[name] = value_text(json_object_get(setting, "value"));
}

std::string settings_text(const struct tcpx_config &config)
{
	size_t len = 0;
	std::string text;

	if (tcpx_config_json(&config, nullptr, 0, &len) != TCPX_ENOSPC)
		return "[]";
	text.resize(len + 1);
	if (tcpx_config_json(&config, &text[0], text.size(), &len))
		return "[]";
	text.resize(len);
	return text;
}

std::string describe_dir_of_environment()
{
	const char *dir = getenv("TCPX_DESCRIBE_DIR");

	return dir ? dir : "/tmp/tcpx-" + std::to_string(geteuid());
}

} /* namespace */

int options_read(const abi::params &user, struct say *say, options *out)
{
	out->config.log_level = TCPX_LOG_WARN;
	int err = tcpx_config_init(&out->config, say_from_library, say);

	if (err)
		return err;
	say_level_of_nixl(&out->config.log_level);
	say->level = out->config.log_level;
	out->describe_dir = describe_dir_of_environment();
	out->kept = user;
	for (const auto &one : out->kept) {
		int bad = take(one.first, one.second, *say, out);

		if (bad)
			err = bad;
	}
	limit_connecting(user, &out->config);
	say->level = out->config.log_level;
	return err;
}

abi::params options_shown()
{
	struct tcpx_config config;
	abi::params shown;

	/* What is wrong with the environment is said when a backend is made. */
	if (tcpx_config_init(&config, nullptr, nullptr))
		shown.clear();
	say_level_of_nixl(&config.log_level);
	limit_connecting(shown, &config);
	json_t *all = json_loads(settings_text(config).c_str(), 0, nullptr);
	size_t i;
	json_t *setting;

	json_array_foreach(all, i, setting) add_shown(setting, &shown);
	json_decref(all);
	shown[DESCRIBE_DIR] = describe_dir_of_environment();
	return shown;
}
