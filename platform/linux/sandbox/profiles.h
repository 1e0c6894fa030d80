#pragma once

// Names of system calls, by what programs need them for.

#include <cstdint>
#include <span>
#include <string_view>

namespace bulkhead::linux_host::sandbox {

/* A system call, with one of its arguments if that matters: (argument & mask) == value. */
struct Rule
{
	std::string_view name;
	int argument = -1; // from 0 on; -1: whatever they are
	uint64_t mask = 0;
	uint64_t value = 0;
};

struct Profile
{
	std::string_view name; // "@talk"
	std::span<Rule const> rules;
	std::string_view includes = {}; // another one
};

std::span<Profile const> profiles();

/* Whoever calls these is no honest program that tries what it may. */
std::span<std::string_view const> deadly();

/* Programs go on without these if they aren't there, but not if they are forbidden. */
std::span<std::string_view const> absent();

} // namespace bulkhead::linux_host::sandbox
