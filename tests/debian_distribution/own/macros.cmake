%__cmake /usr/bin/cmake
%__ctest /usr/bin/ctest
%_vpath_builddir build-%{_target_platform}

%cmake \
%set_build_flags \
%{__cmake} -S . -B %{_vpath_builddir} \\\
    -DCMAKE_BUILD_TYPE=RelWithDebInfo \\\
    -DCMAKE_C_FLAGS_RELWITHDEBINFO=-DNDEBUG \\\
    -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-DNDEBUG \\\
    -DCMAKE_VERBOSE_MAKEFILE=ON \\\
    -DCMAKE_INSTALL_PREFIX=%{_prefix} \\\
    -DCMAKE_INSTALL_LIBDIR=%{_lib} \\\
    -DCMAKE_INSTALL_SYSCONFDIR=%{_sysconfdir} \\\
    -DCMAKE_INSTALL_DO_STRIP=OFF \\\
    -DBUILD_SHARED_LIBS=ON

%cmake_build %{__cmake} --build %{_vpath_builddir} %{?_smp_mflags} --verbose
%cmake_install DESTDIR=%{buildroot} %{__cmake} --install %{_vpath_builddir}
%ctest %{__ctest} --test-dir %{_vpath_builddir} --output-on-failure --force-new-ctest-process
