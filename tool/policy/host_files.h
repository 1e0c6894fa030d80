#pragma once

// Policy files of this machine, and policy files that a program sends along.

#include "rpc/policy/files.h"

#include <map>
#include <string>

namespace bulkhead::tool {

/* The places of a system that follows Qubes. */
inline constexpr std::string_view RUNTIME_DIRECTORY = "/run/qubes/policy.d";
inline constexpr std::string_view DIRECTORY = "/etc/qubes/policy.d";
inline constexpr std::string_view COMPAT_DIRECTORY = "/etc/qubes-rpc/policy";

class Host_files final : public policy::Files
{
private:
	std::string _text{};

public:
	Attempt<void> list(std::string_view directory, policy::Names &names) override;
	Attempt<std::string_view> read(std::string_view path) override;
};

/*
 * Texts by their names, in the directory POLICY, and those of the old format in COMPAT. An absolute
 * name is as it is.
 */
class Sent_files final : public policy::Files
{
public:
	static constexpr std::string_view POLICY = "p";
	static constexpr std::string_view COMPAT = "c";

	using Texts = std::map<std::string, std::string, std::less<>>;

	Texts policy{};
	Texts compat{};

	Attempt<void> list(std::string_view directory, policy::Names &names) override;
	Attempt<std::string_view> read(std::string_view path) override;

private:
	Texts const &_texts_of(std::string_view &path) const;
};

} // namespace bulkhead::tool
