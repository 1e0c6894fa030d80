#pragma once

#include "platform/bare/console.h"

#include <string_view>

// Checks for images that are tests, where no test framework can go:
//
//   void copies(Check_run &run) { CHECK(run, 1 + 1 == 2); }
//   int bare_main()
//   {
//       Check_run run;
//       run.test("copies what it is given", copies);
//       return run.result();
//   }

namespace bulkhead::bare {

class Check_run
{
public:
	// Runs `body`, which calls CHECK, and prints `ok NAME`, or `FAILED NAME` behind its failures.
	void test(std::string_view name, void (*body)(Check_run &))
	{
		unsigned const before = _failures;
		body(*this);
		bool const passed = _failures == before;
		print(passed ? "ok " : "FAILED ", name, "\n");
		_passed += passed;
		_failed += !passed;
	}

	// Prints `FAILED FILE:LINE EXPRESSION` unless `truth`, for the first failures of a run; the
	// rest is only counted. Gives `truth`, so that a loop can end early.
	bool expect(bool truth, std::string_view expression, std::string_view file, unsigned line)
	{
		constexpr unsigned PRINTED_MAX = 20;
		if (!truth && _failures++ < PRINTED_MAX)
			print("FAILED ", file, ":", line, " ", expression, "\n");
		return truth;
	}

	// Prints the count; the exit code: 1 if a test failed or none has run.
	int result() const
	{
		print(_passed, " ok, ", _failed, " failed\n");
		return _failed == 0 && _passed != 0 ? 0 : 1;
	}

private:
	unsigned _failures = 0;
	unsigned _passed = 0;
	unsigned _failed = 0;
};

} // namespace bulkhead::bare

#define CHECK(run, expression) \
	(run).expect(static_cast<bool>(expression), #expression, __FILE__, __LINE__)
