package com.example;

public class Greeter {
    public static void main(String[] arguments) {
        System.out.println(Greeting.text());
    }
}
