%__perl /usr/bin/perl
%perl_vendorlib %(eval "$(%{__perl} -V:vendorlib)"; echo $vendorlib)
%perl_vendorarch %(eval "$(%{__perl} -V:vendorarch)"; echo $vendorarch)
%perl_privlib %(eval "$(%{__perl} -V:privlib)"; echo $privlib)
%perl_archlib %(eval "$(%{__perl} -V:archlib)"; echo $archlib)
